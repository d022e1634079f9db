"""The codec: any size round-trips, files decode alone, targets hold, damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import licframe
from licframe.bitstream import container
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_for, load_latent
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, ImageError, LicframeError, UsageError, WeightsMismatchError
from licframe.evaluation.datasets import sample_picture
from licframe.evaluation.metrics import psnr
from licframe.exact.units import row_of
from licframe.model import latent_coding
from licframe.model.gather import gather_slices
from licframe.model.interfaces import Refiner
from licframe.model.latent_model import LatentModel
from licframe.model.refinement import LatentObjective
from licframe.picture.images import Picture, from_array, read_picture
from licframe.picture.tensors import tensor_of
from licframe.profile.profile import latent_profile
from licframe.runtime.clock import Clock
from licframe.testing.conformance import random_codec
from licframe.testing.exactness import sample_images
from tests.conftest import noise_picture

GOLDEN = Path(__file__).parent / "golden"


@settings(max_examples=40)
@given(st.integers(1, 130), st.integers(1, 130), st.booleans(), st.integers(0, 100))
def test_any_size_round_trips(
    codec: LatentCodec, width: int, height: int, grey: bool, quality: int
) -> None:
    picture = noise_picture(width, height, grey=grey)
    encoded = codec.encode(picture, Target(quality=quality))
    decoded = codec.decode(encoded.data).picture

    assert decoded.pixels.shape == picture.pixels.shape
    assert decoded.mode == picture.mode
    assert psnr(decoded.pixels, picture.pixels) > 15


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (701, 1), (333, 517), (16, 16), (17, 15)])
def test_odd_sizes_round_trip(codec: LatentCodec, size: tuple[int, int]) -> None:
    picture = noise_picture(*size)
    decoded = codec.decode(codec.encode(picture, Target(quality=60)).data).picture

    assert decoded.size == size
    assert psnr(decoded.pixels, picture.pixels) > 18


def test_quality_buys_fidelity_for_bytes(codec: LatentCodec, picture: Picture) -> None:
    files = [codec.encode(picture, Target(quality=q)).data for q in (0, 50, 100)]
    values = [psnr(codec.decode(f).picture.pixels, picture.pixels) for f in files]

    assert len(files[0]) < len(files[1]) < len(files[2])
    assert values[0] < values[1] < values[2]


def test_file_holds_its_information_and_little_more(codec: LatentCodec) -> None:
    for quality in (0, 30, 100):
        encoded = codec.encode(noise_picture(500, 400), Target(quality=quality))

        beside = sum(len(stream.data) + 12 for stream in container.read(encoded.data).streams.values())
        assert len(encoded.data) <= encoded.information / 8 * 1.003 + 64 + beside


def test_freezing_costs_next_to_nothing(codec: LatentCodec) -> None:
    """On pictures like those of training; elsewhere the tables' escape code is even cheaper."""
    image = tensor_of(read_picture(sample_picture()))[:, :, :320, :320]
    with torch.no_grad():
        for quality in (20, 50, 80):
            latent = codec.model.analyse(image, quality)
            frozen = latent_coding.encode(codec.model, latent, quality, Clock()).information
            y = latent * codec.model.gain_table[row_of(quality)][:, None, None]

            assert frozen <= _bits_of_rounded(codec, y, quality) * 1.005


def _bits_of_rounded(codec: LatentCodec, y: torch.Tensor, quality: int) -> float:
    """Information of the rounded residuals under the float model, without noise."""
    from licframe.model.interfaces import Known

    gain = codec.model.gain_table[row_of(quality)][None]
    known = Known(
        codec.model.units.float_form(gain, torch.full((1,), float(quality))), y=torch.zeros_like(y)
    )
    total = 0.0

    def fix(step, parameters):
        nonlocal total
        model = codec.model.entropy_model(step)
        centre = model.centre(parameters)
        residual = (y[step.index] - centre).round()
        total += float(model.bits(residual, parameters).sum())
        return centre + residual

    codec.model.walk(known, fix)
    return total


def test_targets_hold_on_the_real_file(codec: LatentCodec, picture: Picture) -> None:
    width, height = picture.size
    data = codec.compress(picture, bpp=0.8)
    assert 8 * len(data) / (width * height) <= 0.8
    assert len(codec.compress(picture, size=900)) <= 900
    wanted = psnr(np.asarray(codec.decompress(codec.compress(picture, quality=40))), picture.pixels)
    decoded = np.asarray(codec.decompress(codec.compress(picture, psnr=wanted)))
    assert psnr(decoded, picture.pixels) >= wanted


def test_library_takes_paths_images_and_arrays(
    codec: LatentCodec, picture: Picture, tmp_path: Path
) -> None:
    picture.save(tmp_path / "a.png")
    files = [
        codec.compress(x, quality=40)
        for x in (picture, picture.pixels, picture.to_pil(), tmp_path / "a.png", str(tmp_path / "a.png"))
    ]

    assert len(set(files)) == 1
    assert licframe.decompress(files[0]).size == picture.size


def test_metadata_survives(codec: LatentCodec, picture: Picture) -> None:
    with_metadata = Picture(picture.pixels, {"icc": b"i" * 100, "exif": b"e", "xmp": b"x"})

    assert codec.decode(codec.encode(with_metadata).data).picture.metadata == with_metadata.metadata


def test_every_flipped_bit_is_detected(codec: LatentCodec) -> None:
    data = codec.encode(noise_picture(40, 40), Target(quality=30)).data
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(LicframeError):
            codec.decode(bytes(damaged))


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 10**9), st.integers(1, 4))
def test_damage_behind_a_valid_checksum_is_detected(codec: LatentCodec, seed: int, changes: int) -> None:
    """A payload that lies: checksums are right, bytes are not."""
    file = container.read(codec.encode(noise_picture(48, 40), Target(quality=60)).data)
    rng = np.random.default_rng(seed)
    ((payload, digest),) = file.payloads
    forged = bytearray(payload)
    for position in rng.integers(0, len(forged), changes):
        forged[position] ^= int(rng.integers(1, 256))
    data = container.write(container.File(file.header, ((bytes(forged), digest),)))

    with pytest.raises(CorruptStreamError):
        codec.decode(data)


def test_a_lying_size_is_detected(codec: LatentCodec) -> None:
    import attrs

    file = container.read(codec.encode(noise_picture(48, 40), Target(quality=60)).data)
    for width, height in ((480, 40), (16, 16), (5000, 4000)):
        header = attrs.evolve(file.header, width=width, height=height)
        with pytest.raises(CorruptStreamError):
            codec.decode(container.write(container.File(header, file.payloads)))


def test_weights_of_another_file_are_refused(codec: LatentCodec, picture: Picture) -> None:
    import attrs

    file = container.read(codec.encode(picture).data)
    header = attrs.evolve(file.header, fingerprint=b"\0" * 6)
    data = container.write(container.File(header, file.payloads))

    with pytest.raises(WeightsMismatchError, match=r"balanced|tiny"):
        codec.decode(data)
    with pytest.raises(WeightsMismatchError, match="not installed"):
        licframe.decompress(data)


def test_estimate_is_differentiable_everywhere(untrained: LatentModel) -> None:
    image = torch.rand(2, 3, 64, 80)
    out = untrained.estimate(image, torch.tensor([10.0, 90.0]))
    (out.bits.sum() + out.image.square().sum()).backward()
    missing = [
        n for n, p in untrained.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()
    ]

    assert out.image.shape == image.shape
    # three levels at most in a 4x5 latent: the third level's own rows get no gradient, all else does
    assert not missing
    assert untrained.gains.log2_gain.grad.abs().sum() > 0


def test_parts_are_those_of_indexing_and_so_is_their_gradient(codec: LatentCodec) -> None:
    """Slices of a scheduler's steps, and positions that no slice describes."""
    torch.manual_seed(0)
    rows, columns = torch.tensor([[0, 2, 4]]), torch.tensor([[6, 3, 1]])
    indices = [step.index for step in codec.model.scheduler.plan(5, 7)]
    indices.append((slice(None), slice(0, 3), rows, columns))
    gradients = []
    for parts_of in (gather_slices, lambda whole, found: [whole[index] for index in found]):
        whole = (
            torch.arange(2.0 * codec.model.transform.latent_channels * 35)
            .reshape(2, -1, 5, 7)
            .requires_grad_()
        )
        parts = parts_of(whole, indices)
        cost = torch.stack([(part * (k + 1)).square().sum() for k, part in enumerate(parts)]).sum()
        gradients.append((*torch.autograd.grad(cost, whole), *(part.detach() for part in parts)))

    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.slow
def test_a_search_for_a_quality_analyses_each() -> None:
    """Where the analysis knows the quality, a file of a target is that of the quality which it ends at."""
    settings = [
        "transform.analysis=[1,0,0]",
        "transform.conditioned_analysis=true",
        "picture_filter.plugin=none",
    ]
    codec = random_codec(latent_profile("tiny", settings))
    with torch.no_grad():
        for block in codec.model.transform.analysis_blocks:
            block.tone.normal_(std=0.3)
            block.last.weight.normal_(std=0.1)
    picture = noise_picture(96, 80)
    image = tensor_of(picture)
    sizes = [len(codec.encode(picture, Target(quality=quality)).data) for quality in (0, 100)]
    found = codec.encode(picture, Target(size=sum(sizes) // 2))
    with torch.no_grad():
        change = codec.model.analyse(image, 100) - codec.model.analyse(image, found.quality)

    assert 0 < found.quality < 100
    assert found.data == codec.encode(picture, Target(quality=found.quality)).data
    assert float(change.abs().max()) > 0.01


def test_a_score_is_met_by_the_smallest_file_that_does(codec: LatentCodec) -> None:
    """SSIMULACRA2 of what the file decodes to; the next smaller quality has less."""
    pixels = sample_images(1, 96, seed=6)[0][:96, :96]
    picture = from_array(pixels)
    found = codec.encode(picture, Target(ssimulacra2=30))
    below = codec.encode(picture, Target(quality=found.quality - 1))
    scores = [picture.ssimulacra2(codec.decode(e.data).picture.pixels) for e in (found, below)]

    assert scores[0] >= 30 > scores[1]
    with pytest.raises(UsageError, match="at most that"):
        Target(ssimulacra2=101)
    with pytest.raises(UsageError, match="not psnr and ssimulacra2"):
        Target(psnr=40, ssimulacra2=70)
    with pytest.raises(ImageError, match="8 pixels"):
        codec.encode(from_array(pixels[:7]), Target(ssimulacra2=30))


def test_what_is_transparent_does_not_count_in_a_score() -> None:
    pixels = sample_images(1, 64, seed=6)[0][:48, :48]
    opacity = np.full((48, 48), 255, np.uint8)
    opacity[:, 24:] = 0
    spoilt = pixels.copy()
    spoilt[:, 24:] = 0

    assert from_array(np.dstack([pixels, opacity])).ssimulacra2(spoilt) == pytest.approx(100)
    assert from_array(pixels).ssimulacra2(spoilt) < 50


def test_refiner_gets_a_true_cost(codec: LatentCodec, picture: Picture) -> None:
    image = tensor_of(picture)
    with torch.no_grad():
        latent = codec.model.analyse(image, 50)
    problem = LatentObjective(codec.model, image, latent, 50)
    start = latent.clone().requires_grad_()
    problem.estimated_cost(start).backward()

    assert start.grad.abs().sum() > 0
    assert problem.true_cost(latent) == pytest.approx(problem.estimated_cost(latent).item(), rel=0.1)
    assert problem.true_cost(latent) < problem.true_cost(latent * 0)


class _Descent(Refiner):
    """One gradient step, kept if the true cost falls."""

    def refine(self, problem):
        latent = problem.analysed.clone().requires_grad_()
        problem.estimated_cost(latent).backward()
        for size in (1e-4, 1e-5, 1e-6):
            moved = (latent - size * latent.grad).detach()
            if problem.true_cost(moved) < problem.true_cost(problem.analysed):
                return moved
        return problem.analysed


def test_a_refiner_may_take_gradients(codec: LatentCodec, picture: Picture, monkeypatch) -> None:
    plain = codec.encode(picture, Target(quality=50)).data
    monkeypatch.setattr(codec, "refiner", _Descent())
    refined = codec.encode(picture, Target(quality=50)).data

    assert refined != plain
    assert codec.decode(refined).picture.size == picture.size


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.lic")), ids=lambda p: p.stem)
def test_golden_files_decode_for_ever(path: Path) -> None:
    """Files of format 1 keep decoding to the same symbols, and to pixels within one level."""
    expected = json.loads(path.with_suffix(".json").read_text())
    data = path.read_bytes()
    codec = load_for(container.read_header(data))
    decoded = codec.decode(data).picture

    file = container.read(data)
    assert [f"{digest:08x}" for _, digest in file.payloads] == expected["symbol_digests"]
    details = [f"{detail.digest:08x}" for detail in file.details if detail]
    before = [expected["detail_digest"]] if "detail_digest" in expected else []  # of files without tiles
    assert details == expected.get("detail_digests", before)
    stored = read_picture(path.with_suffix(".png"))
    assert (decoded.mode, decoded.depth) == (stored.mode, stored.depth)
    assert np.abs(decoded.pixels.astype(int) - stored.pixels).max() <= (1 if decoded.depth == 8 else 257)
    if stored.alpha is not None:
        assert np.array_equal(decoded.alpha, stored.alpha)


def test_there_are_golden_files() -> None:
    assert len(list(GOLDEN.glob("*.lic"))) >= 3


def test_profile_without_weights_says_how_to_make_them(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('extends = "tiny"\n[weights]\nfile = ""\n')
    with pytest.raises(WeightsMismatchError, match="licframe train"):
        load_latent(profile)
    with pytest.raises(WeightsMismatchError, match=r"transform\.channels"):
        load_latent("tiny", ["transform.channels=40"])
    with pytest.raises(WeightsMismatchError, match="No such file"):
        load_latent("tiny", ["weights.file=nothing.safetensors"])
