"""All that the author of a part or a codec needs; the door to import from in a plugin.

What stands in ``__all__`` keeps its meaning within a minor version, and a change of it is announced in the changelog one minor
version ahead. Everything else inside licframe may move at any time. ``licframe.Part``, ``licframe.hookimpl`` and
``licframe.option_since`` register parts without importing torch; this module imports it. ``licframe.testing.conformance`` is the
test that a part passes.
"""

from __future__ import annotations

from licframe.bitstream.container import File, Header, Stream
from licframe.bitstream.container import read as read_file
from licframe.bitstream.container import write as write_file
from licframe.codec.interface import Capabilities, Decoded, Encoded, ImageCodec, PixelCodec
from licframe.codec.scale import whole as whole_quality
from licframe.codec.target import Target, search
from licframe.errors import (
    CorruptStreamError,
    ImageError,
    LicframeError,
    LimitError,
    NotExactError,
    PluginLoadError,
    ProfileError,
    UsageError,
    WeightsMismatchError,
)
from licframe.exact.coder import BIT_TOTAL, LARGEST_RESIDUAL, Decoder, Encoder
from licframe.exact.layers import FRACTION, ExactConv, ExactReLU
from licframe.exact.tables import TOTAL_BITS, TableBank, read_arrays
from licframe.exact.units import CENTRE_FRACTION, CONTEXT_LIMIT, Condition
from licframe.model.gains import KNOTS, between_knots, error_weight, lambda_of
from licframe.model.interfaces import (
    ContextScheduler,
    EntropyModel,
    Known,
    ParameterAxis,
    PictureFilter,
    Quantise,
    RefinementObjective,
    Refiner,
    Step,
    SymbolCoder,
    Transform,
    centre_to_float,
    trained_as,
)
from licframe.picture.alpha import encode as encode_alpha
from licframe.picture.alpha import read as read_alpha
from licframe.picture.error import psnr
from licframe.picture.images import Picture
from licframe.picture.opening import pillow_unlimited
from licframe.picture.tensors import pixels_of, tensor_of
from licframe.registry.hooks import Part, hookimpl, option_since
from licframe.runtime.atomic import written_whole
from licframe.runtime.clock import Clock
from licframe.runtime.limits import DEFAULT as DEFAULT_LIMITS
from licframe.runtime.limits import Limits
from licframe.runtime.precision import full_precision
from licframe.runtime.progress import progress_bar

__all__ = [
    "BIT_TOTAL",
    "CENTRE_FRACTION",
    "CONTEXT_LIMIT",
    "DEFAULT_LIMITS",
    "FRACTION",
    "KNOTS",
    "LARGEST_RESIDUAL",
    "TOTAL_BITS",
    "Capabilities",
    "Clock",
    "Condition",
    "ContextScheduler",
    "CorruptStreamError",
    "Decoded",
    "Decoder",
    "Encoded",
    "Encoder",
    "EntropyModel",
    "ExactConv",
    "ExactReLU",
    "File",
    "Header",
    "ImageCodec",
    "ImageError",
    "Known",
    "LicframeError",
    "LimitError",
    "Limits",
    "NotExactError",
    "ParameterAxis",
    "Part",
    "Picture",
    "PictureFilter",
    "PixelCodec",
    "PluginLoadError",
    "ProfileError",
    "Quantise",
    "RefinementObjective",
    "Refiner",
    "Step",
    "Stream",
    "SymbolCoder",
    "TableBank",
    "Target",
    "Transform",
    "UsageError",
    "WeightsMismatchError",
    "between_knots",
    "centre_to_float",
    "encode_alpha",
    "error_weight",
    "full_precision",
    "hookimpl",
    "lambda_of",
    "option_since",
    "pillow_unlimited",
    "pixels_of",
    "progress_bar",
    "psnr",
    "read_alpha",
    "read_arrays",
    "read_file",
    "search",
    "tensor_of",
    "trained_as",
    "whole_quality",
    "write_file",
    "written_whole",
]
