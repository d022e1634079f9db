"""docs/format.md is true: a reader made from it alone decodes the golden files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from licframe.bitstream import container
from licframe.codec.loading import load_for
from licframe.exact.units import CENTRE_FRACTION
from licframe.model import latent_coding
from licframe.model.interfaces import Known
from licframe.runtime.clock import Clock
from licframe_plugins.picture_filters import wiener
from tests import reference

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.lic"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_an_independent_reader_decodes_golden_files(path: Path) -> None:
    """Container, tables and range decoder are the reader's; the predictions are the codec's."""
    data = path.read_bytes()
    header, chunks = reference.read_container(data)
    codec = load_for(container.read_header(data))
    assert codec.fingerprint[:6] == header["fingerprint"]
    payload = chunks[b"P"]
    coder = reference.Coder(payload[4:])
    width, height = header["size"]
    h, w = -(-height // codec.model.transform.stride), -(-width // codec.model.transform.stride)
    channels = codec.model.transform.latent_channels
    live = np.ones(channels, bool) if header["revision"] == 1 else ~coder.code_flags(channels)
    shapes = {"y": (channels, h, w), **codec.model.scheduler.side_shapes(h, w)}
    zeros = {name: torch.zeros(1, *shape, dtype=torch.float64) for name, shape in shapes.items()}
    known = Known(codec.model.units.exact_form(header["quality"]), **zeros)

    def fix(step, parameters):
        residual = latent_coding.code_step(coder, codec.model, step, parameters, None, live, Clock())
        return codec.model.coding_model(step).exact_centre(parameters) + residual * 2.0**CENTRE_FRACTION

    with torch.no_grad():
        codec.model.walk(known, fix)
    assert coder.digest == int.from_bytes(payload[:4], "little")


@pytest.mark.parametrize("seed", [0, 1])
def test_an_independent_reader_applies_filters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random(wiener.SIZE) < 0.3, rng.integers(-400, 400, wiener.SIZE), 0)
    picture = rng.random((3, 9, 7)).astype(np.float32)
    coefficients = reference.read_filter(wiener.pack(steps))
    ours = wiener.apply(torch.from_numpy(picture)[None], wiener.unpack(wiener.pack(steps)))[0]

    assert np.array_equal(coefficients.ravel() * 256, steps)
    assert np.abs(ours.numpy() - reference.filtered(picture.astype(float), coefficients)).max() < 1e-4


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_both_readers_see_the_same_file(path: Path) -> None:
    data = path.read_bytes()
    file = container.read(data)
    header, chunks = reference.read_container(data)

    assert (file.header.width, file.header.height) == header["size"]
    assert (file.header.mode, file.header.depth, file.header.quality) == (
        header["mode"],
        header["depth"],
        header["quality"],
    )
    assert [file.header.profile, *file.header.parts] == header["names"]
    assert file.alpha == chunks.get(b"A")
    old = container.Stream(chunks[b"W"]) if b"W" in chunks else None
    assert file.streams == ({"wiener 1": old} if old else {})
    assert {"icc": b"I", "exif": b"E", "xmp": b"X"}.keys() >= file.metadata.keys()
    assert [file.metadata.get(n) for n in ("icc", "exif", "xmp")] == [
        chunks.get(k) for k in (b"I", b"E", b"X")
    ]
