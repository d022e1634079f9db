"""The detail layer: any picture reaches any fidelity, and files with details are as exact as others."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

from licframe.bitstream import container
from licframe.codec import scale
from licframe.codec.detail import LARGEST_STEP, quality_of_step, step_of
from licframe.codec.encoding import Encoding
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, UsageError, WeightsMismatchError
from licframe.evaluation.datasets import sample_picture
from licframe.model.distortions import DISTORTIONS
from licframe.model.interfaces import Step
from licframe.model.tiled_coding import Tiles
from licframe.picture.images import Picture, from_array, read_picture
from licframe.runtime.clock import Clock
from licframe.testing.exactness import sample_images
from licframe_plugins.detail import sparse
from licframe_plugins.detail.context import _PHASES, _WEIGHTS, _around
from licframe_plugins.detail.plugin import BlockTransformOptions
from licframe_plugins.detail.transform import BlockTransform
from tests.conftest import noise_picture


def patterns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    checker = (np.indices((45, 70)).sum(0) % 2 * 255).astype(np.uint8)
    page = np.where(rng.random((45, 70)) < 0.2, 0, 255).astype(np.uint8)
    return {
        "checker": checker,
        "page": page,
        "noise": rng.integers(0, 256, (45, 70, 3), dtype=np.uint8),
        "flat": np.full((45, 70, 3), (30, 160, 70), np.uint8),
    }


@pytest.mark.parametrize("name", patterns())
def test_any_picture_reaches_40_db(codec: LatentCodec, name: str) -> None:
    picture = from_array(patterns()[name])
    decoded = codec.decode(codec.encode(picture, Target(quality=100)).data).picture

    assert decoded.mode == picture.mode
    assert picture.psnr(decoded.pixels) > 42


def test_bytes_and_fidelity_grow_with_quality(codec: LatentCodec) -> None:
    picture = read_picture(sample_picture())
    picture = from_array(picture.pixels[:160, :200])
    coded = [codec.encode(picture, Target(quality=q)).data for q in (0, 30, 50, 60, 70, 80, 90, 100)]
    shown = [picture.psnr(codec.decode(data).picture.pixels) for data in coded]

    assert [len(data) for data in coded] == sorted(len(data) for data in coded)
    assert shown == sorted(shown)
    assert shown[-1] > 46


def test_the_scale_is_monotone_in_lambda_and_ends_where_it_says() -> None:
    places = [scale.place(q) for q in scale.SCALE]

    assert places == sorted(places)
    assert (places[0], places[50]) == (-28, 50)
    assert all(s.step is None for q in range(51) for s in scale.settings(q, scale.LEAST_ERROR))
    assert all(s.step is not None for s in scale.settings(100, scale.LEAST_ERROR))
    assert [s.latent for s in scale.settings(100, None)] == [100]


def test_details_come_in_where_the_profile_is_better_with_them() -> None:
    """A profile for eyes goes on with its latent as far as that reaches; both are compared by what each is for."""
    offered = {}
    for distortion in ("mse", "visual"):
        codec = load_latent("tiny", [f"training.distortion={distortion}"])
        encoding = Encoding(
            codec, from_array(sample_images(1, 128, seed=7)[0][:128, :128]), Clock(), Tiles(128, 128)
        )
        offered[distortion] = [
            [s.step is not None for s in scale.settings(q, encoding._layering())] for q in (60, 70, 80, 90)
        ]
        for setting in scale.settings(80, encoding._layering()):
            trial = encoding._coded(80, setting)
            bits = encoding._cost(trial) - trial.information
            error = DISTORTIONS[distortion](encoding._shown(trial), encoding.image)
            assert bits == pytest.approx(scale.lambda_at(80) * 128 * 128 * float(error), rel=1e-4)

    assert offered["mse"] == [[False], [False, True], [True], [True]]
    assert offered["visual"] == [[False], [False], [False, True], [True]]


@pytest.mark.parametrize("quality", [-1, 101, 50.5])
def test_qualities_off_the_scale_are_refused(codec: LatentCodec, quality: float) -> None:
    with pytest.raises(UsageError, match="smallest"):
        codec.encode(noise_picture(20, 20), Target(quality=quality))


def test_steps_and_qualities_of_a_layer_are_inverse() -> None:
    assert [quality_of_step(step_of(q)) for q in range(101)] == list(range(101))
    assert step_of(0) == LARGEST_STEP
    assert (quality_of_step(1000), quality_of_step(0.01)) == (0, 100)


def test_a_profile_without_a_layer_writes_none() -> None:
    plain = load_latent("tiny", ["detail.file="])
    file = container.read(plain.encode(noise_picture(40, 30), Target(quality=100)).data)

    assert file.detail is None
    assert (file.header.quality, file.header.latent_quality) == (100, 100)


@pytest.fixture(scope="module")
def detailed(codec: LatentCodec) -> bytes:
    return codec.encode(noise_picture(40, 30), Target(quality=90)).data


def test_a_file_says_what_it_was_coded_at(detailed: bytes) -> None:
    file = container.read(detailed)

    assert file.header.quality == 90
    assert file.detail is not None
    assert file.streams == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": b"others"}, "details need weights"),
        ({"synthesis": b"others"}, "belong to pictures of weights"),
        ({"digest": 1}, "digest"),
        ({"quality": 3}, "digest|damaged|ends"),
        ({"payload": b"abcd"}, "digest|damaged|ends"),
    ],
)
def test_details_that_are_not_of_this_picture_are_refused(
    codec: LatentCodec, detailed: bytes, change: dict, said: str
) -> None:
    file = container.read(detailed)
    assert file.detail is not None
    data = container.write(attrs.evolve(file, details=(attrs.evolve(file.detail, **change),)))
    for use in (codec.decode, codec.verify):
        with pytest.raises((WeightsMismatchError, CorruptStreamError), match=said):
            use(data)


def _file_of(*chunks: tuple[bytes, bytes]) -> bytes:
    return bytes(container.MAGIC) + b"\x01" + b"".join(container.chunk(*c) for c in chunks)


def _flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _harmed(detailed: bytes) -> dict[str, bytes]:
    """A file whose details alone are damaged, in all the ways there are."""
    file = container.read(detailed)
    chunks = [(kind, body) for kind, body, _ in container.chunks(detailed)]
    place = next(offset for kind, _, offset in container.chunks(detailed) if kind == b"D")
    harmed = {
        "dropped": _file_of(*(c for c in chunks if c[0] != b"D")),
        "cut": detailed[: place + 40],
        "cut between": detailed[:place],
        "flipped": _flipped(detailed, place + 40),
        "no type": _flipped(detailed, place),
        "short": _file_of(*chunks[:-1], (b"D", b"short")),
        "quality": _file_of(*chunks[:-1], (b"D", b"\xff" + chunks[-1][1][1:])),
    }
    for name, value in {"fingerprint": b"others", "digest": 1, "payload": b"abcd"}.items():
        changed = attrs.evolve(file.detail, **{name: value})
        harmed[name] = container.write(attrs.evolve(file, details=(changed,)))
    return harmed


HARMS = (
    "dropped",
    "cut",
    "cut between",
    "flipped",
    "no type",
    "short",
    "quality",
    "fingerprint",
    "digest",
    "payload",
)


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_details_are_an_error_or_left_out(codec: LatentCodec, detailed: bytes, harm: str) -> None:
    """Never a lesser picture without a word; with best effort the picture of the payload, and a sentence."""
    data = _harmed(detailed)[harm]
    for use in (codec.decode, codec.verify):
        with pytest.raises((WeightsMismatchError, CorruptStreamError)):
            use(data)
    found = codec.decode(data, best_effort=True)
    below = codec.decode(container.write(attrs.evolve(container.read(detailed), details=())))

    assert np.array_equal(found.picture.pixels, below.picture.pixels)
    said = "the file ends within the details: 0 of" if harm == "cut" else "details are left out"
    assert sum(said in sentence for sentence in found.damage) == 1


@pytest.mark.parametrize("changed", [{"revision": 4}, {"codec": "dct 1"}])
def test_details_have_no_place_in_other_files(detailed: bytes, changed: dict) -> None:
    file = container.read(detailed)
    header = attrs.evolve(file.header, latent_quality=90, details=False, **changed)
    chunks = [(kind, body) for kind, body, _ in container.chunks(detailed)]
    data = _file_of((b"H", container.pack_header(header)), *chunks[1:])

    with pytest.raises(CorruptStreamError, match="its header does not speak"):
        container.read(data)
    found = container.read(data, best_effort=True)
    assert found.detail is None
    assert "does not speak" in found.damage[-1]


def test_details_are_bound_to_their_payload(codec: LatentCodec) -> None:
    """Of pictures of one sample: there is little that could differ in the details themselves."""
    rng = np.random.default_rng(4)
    pictures = [from_array(rng.integers(0, 256, (1, 1, 3), dtype=np.uint8)) for _ in range(5)]
    files = [codec.encode(picture, Target(quality=95)).data for picture in pictures]
    chunks = [{kind: body for kind, body, _ in container.chunks(data)} for data in files]
    refused = 0
    for mine in chunks:
        for other in chunks:
            if mine[b"P"] != other[b"P"]:
                data = _file_of((b"H", mine[b"H"]), (b"P", mine[b"P"]), (b"D", other[b"D"]))
                with pytest.raises(CorruptStreamError):
                    codec.decode(data)
                refused += 1
    assert refused > 10


def test_a_codec_without_a_layer_refuses_details(detailed: bytes) -> None:
    with pytest.raises(WeightsMismatchError, match="has none"):
        load_latent("tiny", ["detail.file="]).decode(detailed)


def test_grey_pictures_have_no_details_of_colour(codec: LatentCodec) -> None:
    grey = noise_picture(64, 48).pixels[..., 0]
    sizes = [
        len(codec.encode(picture, Target(quality=95)).data)
        for picture in (from_array(grey), from_array(np.repeat(grey[..., None], 3, 2)))
    ]

    assert sizes[0] <= sizes[1]


def test_sixteen_bits_and_alpha_go_with_details(codec: LatentCodec) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**16, (24, 31, 3), dtype=np.uint16)
    opacity = rng.integers(0, 2**16, (24, 31), dtype=np.uint16)
    picture = Picture(pixels, {}, opacity)
    decoded = codec.decode(codec.encode(picture, Target(quality=100)).data).picture

    assert decoded.depth == 16
    assert np.array_equal(decoded.alpha, opacity)
    assert picture.psnr(decoded.pixels) > 42


def test_a_psnr_beyond_the_latent_is_reached(codec: LatentCodec) -> None:
    picture = noise_picture(50, 40)
    encoded = codec.encode(picture, Target(psnr=43))

    assert picture.psnr(codec.decode(encoded.data).picture.pixels) >= 43


def test_the_block_transform_is_orthonormal_and_sorted() -> None:
    transform, quality = BlockTransform(BlockTransformOptions()), torch.zeros(1)
    image = torch.randn(2, 3, 24, 16, generator=torch.Generator().manual_seed(0))
    latent = transform.analysis(image, quality)

    assert latent.shape == (2, 192, 3, 2)
    assert torch.allclose(transform.synthesis(latent, quality), image, atol=1e-5)
    assert float(latent.norm() / image.norm()) == pytest.approx(8, rel=1e-5)
    flat = transform.analysis(torch.ones(1, 3, 8, 8), quality)[0, :, 0, 0]
    assert flat[0] == pytest.approx(8 * 192**0.5, rel=1e-5)
    assert flat[1:].abs().max() < 1e-4


def test_sparse_tables_are_what_its_density_says() -> None:
    made = sparse.TableBank.from_probabilities(sparse.make_tables())
    assert made.digest == sparse.Sparse(None).bank.digest

    residual = torch.arange(-40.0, 41.0)[None, None, None]
    for scale_ in (0.02, 0.3, 2.0):
        parameters = torch.full((1, 1, 1, 1, 81), scale_).log2()
        mass = torch.exp2(-sparse.Sparse(None).bits(residual, parameters))
        assert float(mass.sum()) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 4)])
def test_means_of_neighbours(size: tuple[int, int]) -> None:
    """Against sums by hand, with zeros outside."""
    h, w = size
    x = torch.randn(1, 2, h, w, dtype=torch.float32)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    for (a, b), (beside, across) in zip(_PHASES, _WEIGHTS, strict=True):
        if a >= h or b >= w:
            continue
        step = Step(slice(a, h, 2), slice(b, w, 2), slice(0, 2))
        found = _around(x, step, (beside, across)).numpy()
        for i, row in enumerate(range(a, h, 2)):
            for j, column in enumerate(range(b, w, 2)):
                seen = padded[0, :, row : row + 3, column : column + 3]
                cross = seen[:, 0, 1] + seen[:, 2, 1] + seen[:, 1, 0] + seen[:, 1, 2]
                corners = seen[:, ::2, ::2].sum((1, 2))
                assert np.allclose(found[0, :, i, j], (beside * cross + across * corners) / 16, atol=1e-5)
