"""The parts of a latent codec, and the small types that pass between them.

The life of an image::

    image --Transform.analysis--> latent --gain--> y, in quantisation steps
    for step in ContextScheduler.plan(h, w):
        parameters = ContextScheduler.predict(step, known)      integers, the same everywhere
        centre, symbols = EntropyModel, range coder
        known.place(step, centre + symbols)
    y_hat --1/gain--> latent --Transform.synthesis--> image --PictureFilter.apply--> image

The same loop trains (floating point, straight-through rounding), encodes and decodes (integers).
Each part is chosen by name in a profile and comes from a plugin; see ``licframe.registry.hooks`` for
how to provide one. A part is an ``nn.Module`` built from its own checked options, an attrs class.

A new entropy model, for example, is one folder with one class and one entry point::

    # mypackage/plugin.py
    import attrs, licframe

    @attrs.frozen
    class Options:
        tail: float = 0.01

    @licframe.hookimpl
    def licframe_entropy_models():
        return [licframe.Part("heavy-tail", 1, "Gaussian with a heavy tail", Options,
                              "mypackage.model:HeavyTail")]

    # pyproject.toml
    [project.entry-points.licframe]
    mypackage = "mypackage.plugin"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from licframe.exact.units import CENTRE_FRACTION, Condition

__all__ = [
    "ContextScheduler",
    "EntropyModel",
    "Known",
    "ParameterAxis",
    "PictureFilter",
    "Quantise",
    "RefinementObjective",
    "Refiner",
    "Step",
    "SymbolCoder",
    "Transform",
    "trained_as",
]


@attrs.frozen(eq=False)
class Step:
    """Elements of one tensor that are coded together: ``tensor[:, channels, rows, columns]``.

    Attributes:
        rows, columns: slices with start, stop and stride, never negative, inside the tensor; or index
            tensors ``(1, K)`` of K positions, for steps that no slice describes.
        channels: slice of the channels.
        level: 0 for the full grid, larger for coarser grids; a preview stops early.
        pass_index: which of the scheduler's entropy models codes it.
        tensor: "y" for the latent, "z" for side information.
        data: the scheduler's own; nobody else looks at it.
    """

    rows: Any
    columns: Any
    channels: slice
    level: int = 0
    pass_index: int = 0
    tensor: str = "y"
    data: Any = None

    @property
    def index(self) -> tuple[Any, ...]:
        """Index of the elements in an ``(N, C, h, w)`` tensor."""
        return (slice(None), self.channels, self.rows, self.columns)


class Known:
    """What earlier steps fixed: tensors in quantisation steps, zero where nothing is known yet.

    In the exact form values are integers in float64 with CENTRE_FRACTION fractional bits.

    Attributes:
        condition: conversions at the quality in use.
        given: what was decoded before and is not coded here, by name, in network units: for a detail layer "base", the
            base's latent ``(N, C, h, w)`` and, as a last channel, its quality / 100.
        memo: what a scheduler wants to keep between steps (features shared by several steps).
    """

    def __init__(
        self, condition: Condition, given: Mapping[str, Tensor] | None = None, **tensors: Tensor
    ) -> None:
        self.condition = condition
        self.given = given or {}
        self.memo: dict[Any, Any] = {}
        self._tensors = tensors

    @classmethod
    def nothing(
        cls,
        condition: Condition,
        tensors: Mapping[str, Tensor],
        given: Mapping[str, Tensor] | None = None,
    ) -> Known:
        """Return a state in which nothing is known of tensors of such shapes."""
        return cls(condition, given, **{name: torch.zeros_like(value) for name, value in tensors.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def read(self, step: Step) -> Tensor:
        """Return a copy of a step's elements; later steps do not change it."""
        return self._tensors[step.tensor][step.index].clone()

    def place(self, step: Step, values: Tensor) -> None:
        """Fix a step's elements."""
        self._tensors[step.tensor][step.index] = values


class Transform(nn.Module, ABC):
    """Turn an image into a latent and back. Ordinary float networks; no exactness is needed.

    Images are ``(N, 3, H, W)`` in [0, 1], any size; latents are ``(N, C, h, w)`` with
    ``h = ceil(H / stride)``; padding happens inside. ``synthesis`` gives ``h * stride`` rows, which
    the codec crops, and is not clamped. Both may use the qualities ``(N,)``, -28..100, that the latents
    are rounded for; a search for a quality then analyses for each that it tries.
    """

    #: channels C of the latent
    latent_channels: int
    #: image pixels per latent element, along each side
    stride: int
    #: whether gradients reach the weights
    trainable: ClassVar[bool] = True

    @abstractmethod
    def analysis(self, image: Tensor, quality: Tensor) -> Tensor:
        """Return the latent of an image, in coefficient units (before gains)."""

    @abstractmethod
    def synthesis(self, latent: Tensor, quality: Tensor) -> Tensor:
        """Return the image of a latent, ``(N, 3, h * stride, w * stride)``."""

    @property
    @abstractmethod
    def decoder(self) -> nn.Module:
        """A module that holds all parameters and buffers of the synthesis and no other; what distillation replaces."""

    @property
    def analysis_halo(self) -> int | None:
        """How many elements around it, of which it sees pixels, a latent element depends on at most; None if nobody knows.

        Where it is known, large pictures are analysed in windows; else as a whole. Beyond the picture's border nothing
        may depend on how far away the border is.
        """
        return None

    @property
    def synthesis_halo(self) -> int | None:
        """How many elements around its own a pixel depends on at most; None if nobody knows (see ``analysis_halo``)."""
        return None

    def decoder_keys(self) -> frozenset[str]:
        """Return the names in ``state_dict`` of what the decoder holds."""
        held = {id(value) for value in (*self.decoder.parameters(), *self.decoder.buffers())}
        named = (*self.named_parameters(), *self.named_buffers())
        return frozenset(name for name, value in named if id(value) in held) & self.state_dict().keys()

    def start_from(self, teacher: Transform) -> None:
        """Begin the decoder from that of a transform of the same latent, where there is a way to.

        Raises:
            LicframeError: it cannot begin from such a transform.
        """

    def removable_blocks(self) -> Mapping[str, nn.Module]:
        """Return the blocks without which it works too, only worse, by name in ``named_modules``.

        Distillation tries to do without those of the decoder; training compiles each on its own.
        """
        return {}

    def features(self, latent: Tensor, quality: Tensor) -> dict[str, Tensor]:
        """Return named intermediate features of the synthesis, as distillation targets."""
        return {}

    def initialise(self, images: Tensor) -> None:
        """Prepare untrained weights from training patches ``(N, 3, H, W)`` in [0, 1]."""

    def channel_std(self) -> Tensor | None:
        """Return the standard deviation ``(C,)`` of an untrained latent, where it is known."""
        return None


class SymbolCoder(Protocol):
    """A range encoder or a range decoder, used through one method by one loop."""

    def code(self, bank: Any, index: Tensor, symbols: Tensor | None) -> Tensor:
        """Code one residual per element with table ``index`` of ``bank``.

        Args:
            bank: a :class:`licframe.exact.tables.TableBank`.
            index: integer table indices, any shape; -1 means "not coded, residual 0".
            symbols: the residuals when encoding, integers of the same shape; None when decoding.

        Returns:
            The residuals that a decoder has, same shape, float64.
        """

    def code_bits(
        self, probability: NDArray[np.int64], bits: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """Code one decision per element.

        Args:
            probability: of True, out of 2^16, each in 1 .. 2^16 - 1, one-dimensional.
            bits: the decisions when encoding; None when decoding.
        """

    def note(self, residual: Tensor) -> None:
        """Add a step's residuals to the digest of the stream."""


class EntropyModel(nn.Module, ABC):
    """Turn predicted parameters into probabilities of the residual.

    ``parameters`` is ``(N, P, c, rows, columns)`` with P = ``len(kinds)``. In float form it is in
    quantisation steps. In the exact form it holds integers in float64 with FRACTION fractional bits.
    """

    #: What each parameter is: "centre", "log2_scale" or "weight". Schedulers convert by kind.
    kinds: tuple[str, ...]

    @property
    def initial_bias(self) -> tuple[float, ...]:
        """What to add to each parameter before training, so that components begin apart."""
        return (0.0,) * len(self.kinds)

    @abstractmethod
    def centre(self, parameters: Tensor) -> Tensor:
        """Return the value that rounding is centred on, in quantisation steps, float form."""

    @abstractmethod
    def bits(self, residual: Tensor, parameters: Tensor) -> Tensor:
        """Return the information of each residual (latent minus centre) in bits, differentiable.

        The residual may be an integer or carry uniform noise in +-1/2.
        """

    @abstractmethod
    def exact_centre(self, parameters: Tensor) -> Tensor:
        """Return the centre as integers with CENTRE_FRACTION fractional bits, from integers."""

    @abstractmethod
    def code(self, coder: SymbolCoder, parameters: Tensor, symbols: Tensor | None) -> Tensor:
        """Code residuals ``(N, c, rows, columns)`` under integer parameters; see SymbolCoder."""


@attrs.frozen
class ParameterAxis:
    """Where a tensor of a scheduler holds the P parameters of an entropy model.

    Attributes:
        axis: along it lie ``groups`` runs of P equal parts.
        table: the tensor is parameters, to which the model's ``initial_bias`` was added; else a last layer's weight or bias.
        pass_index: which of the entropy models.
    """

    axis: int
    groups: int = 1
    table: bool = False
    pass_index: int = 0


class ContextScheduler(nn.Module, ABC):
    """Decide in which order a latent is coded, and predict each step from the steps before.

    The plan is a pure function of the shape, so that encoder and decoder hold the same one. The
    float and the frozen form of ``predict`` are the same code over ``licframe.exact`` layers.
    """

    #: whether ``predict`` is exact once frozen
    exact: ClassVar[bool] = True
    #: whether the number of steps grows with the image
    serial: ClassVar[bool] = False
    #: how many entropy models it takes, one for each of its passes
    passes: ClassVar[int] = 1

    @abstractmethod
    def plan(self, h: int, w: int) -> Sequence[Step]:
        """Return the steps that cover every element of a ``(C, h, w)`` latent exactly once."""

    def short_plan(self, h: int, w: int) -> Sequence[Step]:
        """Return the shortest plan that gives the same values as ``plan``; training takes it."""
        return self.plan(h, w)

    @abstractmethod
    def predict(self, step: Step, known: Known) -> Tensor:
        """Return parameters ``(N, P, c, rows, columns)`` of exactly that step's elements."""

    def predict_all(self, known: Known, values: Mapping[str, Tensor]) -> Iterator[tuple[Step, Tensor]]:
        """Yield steps with their parameters where the decoded values of all elements are given; float form.

        This is how training and refiners predict. Any steps will do that cover every element once, as long as
        parameters are those that ``predict`` gives in coding order; few large ones are fast. By default they are
        those of ``plan``, one after the other.

        Args:
            known: nothing is known yet.
            values: each tensor as a decoder has it, in quantisation steps.
        """
        for step in self.plan(*known["y"].shape[-2:]):
            yield step, self.predict(step, known)
            known.place(step, values[step.tensor][step.index])

    def side(self, latent: Tensor, condition: Condition) -> dict[str, Tensor]:
        """Return side information such as a hyper-latent, by tensor name, encoder side only.

        Args:
            latent: ``(N, C, h, w)`` in coefficient units, float.

        Returns:
            ``{"z": (N, c, h', w')}`` in quantisation steps, not rounded; steps of the plan name the
            tensor. Empty where a scheduler needs none.
        """
        return {}

    def side_shapes(self, h: int, w: int) -> dict[str, tuple[int, int, int]]:
        """Return channels, rows and columns of each side tensor, for a latent of h by w."""
        return {}

    @abstractmethod
    def freeze(self) -> None:
        """Switch to integer arithmetic; prove each layer's bound or raise NotExactError."""

    def serial_passes(self, h: int, w: int) -> int:
        """Return how many dependent network evaluations a latent of that size takes."""
        return len(self.plan(h, w))

    def initialise(self, latents: Tensor, std: Tensor) -> None:
        """Prepare untrained weights from latents ``(N, C, h, w)`` in coefficient units."""

    def parameter_axes(self) -> Mapping[str, ParameterAxis]:
        """Return which tensors of its state hold parameters of entropy models, by name.

        With them a scheduler that was trained with one entropy model can be refitted to another.
        """
        return {}


Quantise = Callable[[Tensor], Tensor]
"""Maps residuals about their predicted centres, in quantisation steps, to what a decoder would have."""


class RefinementObjective(Protocol):
    """What a refiner may know: one image, its latent, and what it costs.

    Latents are ``(1, C, h, w)`` in coefficient units, float32.

    Attributes:
        image: ``(1, 3, H, W)`` in [0, 1].
        analysed: the latent of the analysis.
        gain: quantisation steps per coefficient unit, ``(C, 1, 1)``.
    """

    image: Tensor
    analysed: Tensor
    gain: Tensor

    def estimated_cost(
        self, latent: Tensor, quantise: Quantise | None = None, *, unit_slope: bool = False
    ) -> Tensor:
        """Return the cost, bits + lambda * distortion, differentiable in the latent.

        Args:
            quantise: replaces rounding; left out, rounding is straight-through and the rate noisy.
            unit_slope: the derivative of ``quantise`` is one; its own is then not asked for, and all steps are
                predicted at once.
        """

    def true_cost(self, latent: Tensor) -> float:
        """Return the cost with real coded bytes, of the latent rounded in coding order."""

    def rounded(self, latent: Tensor) -> Tensor:
        """Return the latent that a decoder has."""


class Refiner(ABC):
    """Search for a latent of this one image that costs less. Encoder only.

    The decoder never knows, and the file format does not change.
    """

    #: whether it ever returns another latent than it is given
    searches: ClassVar[bool] = True

    @abstractmethod
    def refine(self, objective: RefinementObjective) -> Tensor:
        """Return a latent ``(1, C, h, w)`` in coefficient units, never worse than ``objective.analysed``.

        The codec rounds it in coding order, as ``objective.true_cost`` does.
        """


class PictureFilter(ABC):
    """Mend what the synthesis gets wrong all over one picture, with a few bytes that travel with it.

    Ordinary float arithmetic; no exactness is needed, the symbols are decoded already. The bytes are a side stream of the
    file, under the part's name and version. They hold everything that ``apply`` needs: options may steer ``fit`` only, so
    that a decoder needs no more than the part's name.
    """

    #: whether it ever sends anything
    sends: ClassVar[bool] = True
    #: how many samples around it a sample depends on at most; None if nobody knows: a region then takes the whole picture
    halo: ClassVar[int | None] = None

    @abstractmethod
    def fit(self, decoded: Tensor, image: Tensor, weight: float) -> bytes | None:
        """Return the filter that is worth its bytes; None if there is none.

        Args:
            decoded: the decoded picture; image: the original; both ``(1, 3, H, W)`` in [0, 1].
            weight: bits that a squared error of one is worth.
        """

    @abstractmethod
    def apply(self, decoded: Tensor, data: bytes) -> Tensor:
        """Return a decoded picture of any size after the filter, differentiable in the picture.

        Raises:
            CorruptStreamError: ``data`` is no filter.
        """


PARAMETER_KINDS = ("matrix", "linear", "output", "bias", "scale")
"""How a parameter is trained: each kind has its own learning rate.

"matrix": hidden convolutions, by Muon. By AdamW: "linear", what starts near its optimum and should
move slowly; "output", last layers; "bias"; "scale", gains and other parameters in log units.
"""


def trained_as(kind: str, parameter: nn.Parameter) -> nn.Parameter:
    """Mark a parameter with one of PARAMETER_KINDS and return it."""
    if kind not in PARAMETER_KINDS:
        raise ValueError(f"{kind} is no kind of parameter; use one of {', '.join(PARAMETER_KINDS)}")
    parameter.licframe_kind = kind  # type: ignore[attr-defined]
    return parameter


def parameter_kind(parameter: Tensor) -> str:
    """Return the kind a parameter was marked with; else "matrix" for convolutions, or "bias"."""
    default = "matrix" if parameter.dim() == 4 else "bias"
    return str(getattr(parameter, "licframe_kind", default))


def centre_to_float(values: Tensor) -> Tensor:
    """Return integers with CENTRE_FRACTION fractional bits as float32 quantisation steps."""
    return (values * 2.0**-CENTRE_FRACTION).to(torch.float32)
