"""Pictures and files together: each is that of one alone, in order."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch

import licframe
from licframe.bitstream import container
from licframe.codec import batching, latent
from licframe.codec.encoding import Encoding, WholeTrial
from licframe.codec.fallback import FallbackCodec
from licframe.codec.interface import ImageCodec
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, ImageError, LimitError, UsageError
from licframe.model import latent_coding
from licframe.picture.images import Picture, from_array
from licframe.profile.profile import latent_profile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import Limits
from licframe.testing.conformance import random_codec
from licframe.testing.exactness import sample_images
from tests.test_devices import CONTEXTS


@pytest.fixture(scope="module")
def codec() -> LatentCodec:
    return load_latent("tiny")


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Of two sizes and several modes, one of a single colour, in no order."""
    tall, wide = ([image[:70, :52] for image in sample_images(4, 96, seed=s)] for s in (1, 2))
    flat = np.full((70, 52, 3), 77, np.uint8)
    opacity = np.linspace(0, 255, 70 * 52).reshape(70, 52).astype(np.uint8)
    found = [
        from_array(x) for x in (tall[0], wide[0].swapaxes(0, 1), flat, tall[1], wide[1].swapaxes(0, 1))
    ]
    found.append(from_array(tall[2][..., 1]))
    found.append(
        Picture(tall[3].astype(np.uint16) * 257, {"exif": b"exif"}, opacity.astype(np.uint16) * 257)
    )
    return found


@pytest.fixture
def sizes(codec: LatentCodec, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each prediction was for."""
    asked: list[int] = []
    predict = codec.model.scheduler.predict

    def told(step, known):
        asked.append(len(known["y"]))
        return predict(step, known)

    monkeypatch.setattr(codec.model.scheduler, "predict", told)
    return asked


@pytest.mark.parametrize("quality", [20, pytest.param(70, marks=pytest.mark.slow), 90])
def test_files_are_those_of_one_alone(
    codec: LatentCodec, pictures: list[Picture], sizes: list[int], quality: int
) -> None:
    many = codec.encode_many(pictures, Target(quality=quality))
    together = set(sizes)
    alone = [codec.encode(picture, Target(quality=quality)) for picture in pictures]

    assert [encoded.data for encoded in many] == [encoded.data for encoded in alone]
    assert [e.information for e in many] == [e.information for e in alone]
    assert together >= {2, 5}
    assert many[0].seconds.keys() == alone[0].seconds.keys()


@pytest.mark.slow
def test_some_pictures_get_details_and_others_do_not(
    codec: LatentCodec, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cheaper each is asked by itself; here it is by its first sample."""

    def cost(self: Encoding, trial: WholeTrial) -> float:
        return float((trial.detail is None) == self.picture.pixels.flat[0] % 2)

    monkeypatch.setattr(Encoding, "_cost", cost)
    many = [encoded.data for encoded in codec.encode_many(pictures, Target(quality=70))]

    assert many == [codec.encode(picture, Target(quality=70)).data for picture in pictures]
    assert {bool(container.read(data).details) for data in many} == {True, False}


@pytest.mark.parametrize("quality", [20, 90])
def test_pictures_are_those_of_one_alone(
    codec: LatentCodec, pictures: list[Picture], sizes: list[int], quality: int
) -> None:
    files = [codec.encode(picture, Target(quality=quality)).data for picture in pictures]
    sizes.clear()
    many = [decoded.picture for decoded in codec.decode_many(files)]
    together = set(sizes)
    alone = [codec.decode(data).picture for data in files]

    assert together == {2, 5}
    for one, other, picture in zip(many, alone, pictures, strict=True):
        assert (one.mode, one.depth, one.size) == (picture.mode, picture.depth, picture.size)
        assert np.array_equal(one.pixels, other.pixels)
        assert one.metadata == other.metadata
        assert one.alpha is None if other.alpha is None else np.array_equal(one.alpha, other.alpha)


def test_what_is_written_is_checked_together(
    codec: LatentCodec, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture whose symbols come back otherwise is found among several."""
    decode = latent_coding.decode_many

    def changed(model, streams, *given, **more):
        y = decode(model, streams, *given, **more)
        y[-1, 0, 0, 0] += 64
        return y

    monkeypatch.setattr(latent_coding, "decode_many", changed)
    with pytest.raises(CorruptStreamError, match="nothing was saved"):
        codec.encode_many(pictures[:1] + pictures[2:4])


@pytest.mark.parametrize("settings", CONTEXTS.values(), ids=CONTEXTS.keys())
def test_every_context_codes_several_as_one(settings: list[str]) -> None:
    model = random_codec(latent_profile("tiny", settings)).model
    torch.manual_seed(0)
    latents = [4 * torch.randn(1, model.transform.latent_channels, 5, 4) for _ in range(3)]
    latents[1][:, 3:] = 0  # empty channels, of one alone
    with torch.inference_mode():
        many = latent_coding.encode_many(model, latents, 50, Clock())
        alone = [latent_coding.encode(model, one, 50, Clock()) for one in latents]
        streams = [(coded.payload, coded.digest) for coded in many]
        y = latent_coding.decode_many(model, streams, 50, (5, 4), Clock())

    assert streams == [(coded.payload, coded.digest) for coded in alone]
    assert [coded.empty for coded in many] == [coded.empty for coded in alone]
    for coded, one, decoded in zip(many, alone, y.split(1), strict=True):
        assert torch.equal(coded.y, one.y)
        assert torch.equal(decoded, one.y)


def test_images_of_any_kind_through_the_codec_that_load_gives(pictures: list[Picture]) -> None:
    """It keeps the picture of one colour without loss; files of both codecs are told apart."""
    codec = licframe.load("tiny")
    assert isinstance(codec, FallbackCodec)
    images = [picture.to_pil() if k % 2 else picture for k, picture in enumerate(pictures[:-1])]
    files = codec.compress_many(images, quality=40)
    shown = codec.decompress_many(files)

    assert files == [codec.compress(image, quality=40) for image in images]
    assert [bool(container.read_header(data).codec) for data in files].count(True) == 1
    assert [image.size for image in shown] == [picture.size for picture in pictures[:-1]]
    assert codec.compress_many([]) == codec.decompress_many([]) == []


@pytest.mark.slow
@pytest.mark.parametrize("target", [{"bpp": 2.0}, {"psnr": 25.0}])
def test_targets_are_searched_for_each(pictures: list[Picture], target: dict[str, float]) -> None:
    codec = licframe.load("tiny")
    some = pictures[1:3]

    assert codec.compress_many(some, **target) == [codec.compress(picture, **target) for picture in some]


def test_a_codec_that_knows_no_better_takes_one_after_another(pictures: list[Picture]) -> None:
    codec = licframe.load("lossless")
    files = codec.compress_many(pictures)

    assert type(codec).encode_many is ImageCodec.encode_many
    assert files == [codec.compress(picture) for picture in pictures]
    for decoded, picture in zip(codec.decode_many(files), pictures, strict=True):
        shown = picture.pixels if picture.alpha is None else picture.pixels[picture.alpha > 0]
        found = decoded.picture.pixels
        assert np.array_equal(found if picture.alpha is None else found[picture.alpha > 0], shown)


def test_an_error_names_the_number(codec: LatentCodec, pictures: list[Picture]) -> None:
    """Of a picture, of a file that is no file, and of one whose symbols are damaged among others."""
    files = [codec.encode(picture).data for picture in pictures[2:5]]
    broken = container.read(files[2])
    payload, digest = broken.payloads[0]
    files[2] = container.write(attrs.evolve(broken, payloads=((payload, digest ^ 1),)))
    both = licframe.load("tiny")
    for one in (codec, both):
        with pytest.raises(CorruptStreamError, match=r"^number 2, counted from 0: the decoded symbols"):
            one.decode_many(files)
        with pytest.raises(CorruptStreamError, match=r"^number 1, counted from 0"):
            one.decode_many([files[0], b"no file", files[1]])
        with pytest.raises(ImageError, match=r"^number 1, counted from 0: float is"):
            one.compress_many([pictures[0], 3.5])
        with pytest.raises(ImageError, match=r"^number 2, counted from 0: Pillow has no"):
            one.decompress_many([*files[:2], one.compress(pictures[-1])])
        with pytest.raises(UsageError, match=r"^quality is 101"):
            one.compress_many(pictures, quality=101)
    with pytest.raises(LimitError, match=r"^number 0, counted from 0"):
        codec.decode_many(files[:2], Limits(pixels=100))
    with pytest.raises(LimitError, match=r"^the image"):
        codec.decode_many(files[:1], Limits(pixels=100))


def test_batches_hold_what_is_alike_and_no_more_than_they_may() -> None:
    batches: list[list[int]] = []

    def run(some: list[int]) -> list[int]:
        batches.append(some)
        return [-number for number in some]

    found = batching.in_batches([3, 4, 5, 13, 23, 7, 14, 33], run, lambda number: (number % 10, 3))

    assert found == [-3, -4, -5, -13, -23, -7, -14, -33]
    assert batches == [[3, 13, 23], [4, 14], [5], [7], [33]]


def test_large_pictures_go_alone(
    monkeypatch: pytest.MonkeyPatch, codec: LatentCodec, pictures: list[Picture], sizes: list[int]
) -> None:
    """Those of more pixels than go together, and those in tiles."""
    monkeypatch.setattr(latent, "most_together", lambda device, width, height: 2)
    files = [encoded.data for encoded in codec.encode_many(pictures)]
    assert set(sizes) == {1, 2}

    sizes.clear()
    codec.decode_many(files)
    assert set(sizes) == {1, 2}
    assert batching.most_together(torch.device("cpu"), 2**12, 2**12) == 1
    assert batching.most_together(torch.device("cpu"), 2**7, 2**7) == 16


def test_pictures_in_tiles_go_alone(codec: LatentCodec, sizes: list[int]) -> None:
    settings = attrs.evolve(codec.profile.encoder, tile=256, tiled_above=0)
    tiling = attrs.evolve(codec, profile=attrs.evolve(codec.profile, encoder=settings))
    pixels = np.tile(sample_images(1, 96, seed=3)[0], (1, 4, 1))[:96, :272]
    pictures = [from_array(pixels), from_array(pixels[:, ::-1])]
    files = [encoded.data for encoded in tiling.encode_many(pictures)]

    assert [container.read(data).tile for data in files] == [256, 256]
    assert files == [tiling.encode(picture).data for picture in pictures]
    for decoded, data in zip(tiling.decode_many(files), files, strict=True):
        assert np.array_equal(decoded.picture.pixels, tiling.decode(data).picture.pixels)
    assert set(sizes) == {1}
