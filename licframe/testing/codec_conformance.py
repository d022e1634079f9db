"""What every codec must keep to (``licframe.testing.conformance.CodecConformance``)."""

from __future__ import annotations

import itertools
import os
import random
from typing import Any

import attrs
import numpy as np
import pytest

from licframe.bitstream import container
from licframe.bitstream.container import Stream
from licframe.codec.interface import ImageCodec
from licframe.codec.loading import Name, load, read
from licframe.codec.target import Target
from licframe.errors import CorruptStreamError, LicframeError, LimitError, UsageError, WeightsMismatchError
from licframe.picture.error import psnr
from licframe.picture.images import Picture, from_array
from licframe.profile.profile import Encoder, Profile, load_profile
from licframe.runtime.limits import Limits
from licframe.testing.exactness import sample_images
from licframe.testing.mutations import OPERATIONS, mutate

SIZES = ((1, 1), (1, 17), (33, 2), (61, 45), (96, 64))
_METADATA = {"icc": b"icc!" * 40, "exif": b"Exif\0\0exif!", "xmp": b"<x/>"}
_MUTATIONS = 60
_SMALL = Limits(pixels=2**16, side=2**10, seconds=20.0)


def picture_of(width: int, height: int) -> Picture:
    """Return a synthetic picture of that size."""
    tile = sample_images(1, 160, seed=1)[0]
    repeat = (-(-height // tile.shape[0]), -(-width // tile.shape[1]), 1)
    return from_array(np.tile(tile, repeat)[:height, :width])


def of_mode(picture: Picture, mode: str, depth: int) -> Picture:
    """Return a picture in another mode and depth, with a gradient as its alpha, and metadata."""
    pixels = picture.pixels if "RGB" in mode else picture.pixels[..., 1]
    alpha: Any = None
    if "A" in mode:
        width, height = picture.size
        alpha = np.linspace(0, 255, width * height).reshape(height, width).astype(np.uint8)
    if depth == 16:  # the lower bits are in use, too
        pixels = pixels.astype(np.uint16) * 256 + pixels // 3
        alpha = None if alpha is None else alpha.astype(np.uint16) * 257
    return Picture(pixels, dict(_METADATA), alpha)


class CodecConformance:
    """Tests of a codec of any kind: subclass, and give the fixture ``profile``.

    ::

        class TestMine(CodecConformance):
            @pytest.fixture
            def profile(self):
                return Path(__file__).parent.parent / "mine.toml"

    What is asked of it is what its ``capabilities`` declare. Files of the .lic format are changed in ways that know the
    format; they must also name their codec, so that ``licframe.read`` needs nothing else. Needs pytest.
    """

    @pytest.fixture
    def profile(self) -> Name | Profile:
        """A profile of the codec: a shipped one's name, the path of a TOML file, or a loaded one."""
        raise NotImplementedError(
            "override the fixture profile, for example return Path(__file__).parent / 'mine.toml'"
        )

    @pytest.fixture
    def codec(self, profile: Name | Profile) -> ImageCodec:
        """The codec."""
        return _alone(profile)

    @pytest.fixture
    def fresh(self, profile: Name | Profile) -> ImageCodec:
        """Another one, which has seen nothing of what ``codec`` did."""
        return _alone(profile)

    @pytest.fixture
    def coded(self, codec: ImageCodec) -> tuple[Picture, bytes]:
        """A picture, and a file of it at a quality in the middle."""
        picture = of_mode(picture_of(61, 45), "RGB", 8)
        return picture, codec.encode(picture, Target(quality=_middle(codec))).data

    @pytest.mark.parametrize("size", SIZES)
    def test_round_trip(self, codec: ImageCodec, fresh: ImageCodec, size: tuple[int, int]) -> None:
        """A codec that has only the bytes shows the same picture, of the same size; the original stays as it is."""
        picture = picture_of(*size)
        before = picture.pixels.copy()
        encoded = codec.encode(picture, Target(quality=_middle(codec)))
        decoded = fresh.decode(encoded.data)

        assert decoded.picture.size == size
        assert decoded.damage == ()
        assert np.array_equal(decoded.picture.pixels, codec.decode(encoded.data).picture.pixels)
        assert np.array_equal(picture.pixels, before)
        assert encoded.quality == _middle(codec)
        for seconds in (encoded.seconds, decoded.seconds):
            assert seconds
            assert min(seconds.values()) >= 0

    def test_a_region_is_a_part_of_the_whole(self, codec: ImageCodec, coded: tuple[Picture, bytes]) -> None:
        """But for rounding; one that does not lie within the picture is refused."""
        _, data = coded
        whole = codec.decode(data).picture
        for region in ((0, 0, 61, 45), (60, 44, 1, 1), (7, 20, 30, 9)):
            found, wanted = codec.decode_region(data, region).picture, whole.part(region)
            assert np.abs(found.pixels.astype(int) - wanted.pixels).max() <= 1
        with pytest.raises(UsageError):
            codec.decode_region(data, (60, 0, 2, 1))

    def test_a_preview_is_as_large_as_the_picture(
        self, codec: ImageCodec, coded: tuple[Picture, bytes]
    ) -> None:
        """Where the codec has levels that can be left out; else it says that it has none."""
        picture, data = coded
        try:
            whole, coarse = (codec.decode_preview(data, number).picture for number in (0, 1))
        except UsageError:
            return
        assert coarse.size == picture.size
        assert np.array_equal(whole.pixels, codec.decode(data).picture.pixels)

    def test_many_are_as_one(self, codec: ImageCodec) -> None:
        """Files and pictures of several are those of each alone, in order."""
        pictures = [picture_of(*size) for size in ((33, 20), (20, 33), (33, 20))]
        pictures[2] = attrs.evolve(pictures[2], pixels=255 - pictures[2].pixels)
        target = Target(quality=_middle(codec))
        files = [encoded.data for encoded in codec.encode_many(pictures, target)]

        assert files == [codec.encode(picture, target).data for picture in pictures]
        for decoded, data in zip(codec.decode_many(files), files, strict=True):
            assert np.array_equal(decoded.picture.pixels, codec.decode(data).picture.pixels)

    @pytest.mark.parametrize(("mode", "depth"), [*itertools.product(container.MODES, (8, 16))])
    def test_modes_and_depths(self, codec: ImageCodec, fresh: ImageCodec, mode: str, depth: int) -> None:
        """What the capabilities declare comes back; the rest is refused, or left out."""
        can = codec.capabilities
        picture = of_mode(picture_of(96, 64), mode, depth)
        whole = (
            depth in can.depths
            and (can.grey or "RGB" in mode)
            and (can.alpha or "A" not in mode)
            and can.metadata
        )
        try:
            data = codec.encode(picture, Target(quality=_best(codec))).data
        except LicframeError:
            assert not whole, "what it declares it must encode"
            return
        codec.verify(data)
        found = fresh.decode(data).picture

        assert found.size == picture.size
        assert found.depth == (depth if depth in can.depths else max(can.depths))
        assert found.mode.removesuffix("A") == (mode.removesuffix("A") if can.grey else "RGB")
        assert found.metadata == (_METADATA if can.metadata else {})
        if can.alpha and picture.alpha is not None:
            assert found.alpha is not None
            assert np.array_equal(found.alpha, picture.alpha)
        else:
            assert found.alpha is None
        if found.pixels.dtype == picture.pixels.dtype and found.pixels.shape == picture.pixels.shape:
            assert picture.psnr(found.pixels) > _of_flat(picture) + 3
        if can.lossless:
            seen = np.ones_like(picture.pixels, bool) if picture.alpha is None else picture.alpha > 0
            assert np.array_equal(found.pixels[seen], picture.pixels[seen])

    def test_larger_files_show_more(self, codec: ImageCodec) -> None:
        """Between the ends of its scale the file grows, and the picture comes nearer to the original than a flat one."""
        picture = picture_of(96, 64)
        files = [codec.encode(picture, Target(quality=q)).data for q in _ends(codec)]
        small, large = sorted(files, key=len)
        fidelity = [picture.psnr(codec.decode(data).picture.pixels) for data in (small, large)]

        assert len(small) < len(large) or codec.capabilities.lossless
        assert fidelity[0] < fidelity[1] or codec.capabilities.lossless
        assert fidelity[1] > _of_flat(picture) + 3

    def test_targets_are_met(self, codec: ImageCodec, fresh: ImageCodec) -> None:
        """Rate, size and PSNR hold for the files that are written; what cannot be met is an error."""
        picture = picture_of(45, 32)
        width, height = picture.size
        middle = codec.encode(picture, Target(quality=_middle(codec))).data
        shown = picture.psnr(fresh.decode(middle).picture.pixels)

        assert len(codec.encode(picture, Target(size=len(middle))).data) <= len(middle)
        rate = 8 * len(middle) / (width * height)
        assert len(codec.encode(picture, Target(bpp=rate)).data) <= len(middle)
        with pytest.raises(LimitError):
            codec.encode(picture, Target(size=1))
        if codec.capabilities.lossless:
            return
        data = codec.encode(picture, Target(psnr=shown - 0.5)).data
        assert picture.psnr(fresh.decode(data).picture.pixels) >= shown - 0.5
        with pytest.raises(LimitError):
            codec.encode(picture, Target(psnr=500.0))

    def test_a_quality_outside_the_scale_is_an_error(self, codec: ImageCodec) -> None:
        """It is the user's mistake, and named as that."""
        with pytest.raises(UsageError):
            codec.encode(picture_of(9, 9), Target(quality=-7))

    def test_bytes_are_deterministic(
        self, codec: ImageCodec, fresh: ImageCodec, coded: tuple[Picture, bytes]
    ) -> None:
        """The same picture gives the same file, from another instance too."""
        picture, data = coded
        target = Target(quality=_middle(codec))

        assert codec.encode(picture, target).data == data
        assert fresh.encode(picture, target).data == data

    def test_information_is_that_of_the_file(self, codec: ImageCodec) -> None:
        """Where a codec tells the information in a file, the file has room for it."""
        encoded = codec.encode(picture_of(96, 64), Target(quality=_middle(codec)))

        assert encoded.information is None or 0 < encoded.information <= 8 * len(encoded.data)

    def test_damage_is_noticed(self, codec: ImageCodec, coded: tuple[Picture, bytes]) -> None:
        """What is no file of the codec is an error; a changed bit too, where the codec declares checksums."""
        picture, data = coded
        for foreign in (b"", b"no picture at all", data[: len(data) // 2], data[: len(data) - 1][::-1]):
            with pytest.raises(LicframeError):
                codec.decode(foreign)
        for place in range(0, len(data), max(1, len(data) // 40)):
            changed = bytearray(data)
            changed[place] ^= 4
            if codec.capabilities.checksums:
                with pytest.raises(LicframeError):
                    codec.decode(bytes(changed))
            else:
                shown = _decoded_or_refused(codec, bytes(changed))
                assert shown is None or shown.pixels.dtype == picture.pixels.dtype

    def test_limits_hold(self, codec: ImageCodec, coded: tuple[Picture, bytes]) -> None:
        """A file whose picture is beyond the limits is refused."""
        with pytest.raises(LimitError):
            codec.decode(coded[1], Limits(pixels=100))

    def test_capabilities_are_declared(
        self, codec: ImageCodec, profile: Name | Profile, coded: tuple[Picture, bytes]
    ) -> None:
        """It says what runs, has a scale to measure unless it is lossless, and a fingerprint where it has weights."""
        scale = list(codec.qualities)

        assert codec.version
        assert len(scale) > 1 or (scale and codec.capabilities.lossless)
        assert scale in (sorted(set(scale)), sorted(set(scale), reverse=True))
        assert set(codec.capabilities.depths) <= {8, 16}
        if _is_lic(coded[1]):
            assert bool(container.read_header(coded[1]).fingerprint) == codec.capabilities.weights

    def test_hostile_files_are_refused_or_pictures(
        self, codec: ImageCodec, coded: tuple[Picture, bytes]
    ) -> None:
        """.lic files: changed chunks with right checksums end in a LicframeError or a picture, never otherwise."""
        if not _is_lic(coded[1]):
            return
        draw = random.Random(0)
        for _ in range(_MUTATIONS):
            operations = [
                (draw.choice(OPERATIONS), draw.randrange(2**16), draw.randrange(2**16))
                for _ in range(draw.randrange(1, 4))
            ]
            shown = _decoded_or_refused(codec, mutate(coded[1], operations))
            assert shown is None or shown.size[0] * shown.size[1] <= _SMALL.pixels, operations

    def test_side_streams_that_it_does_not_know(
        self, codec: ImageCodec, coded: tuple[Picture, bytes]
    ) -> None:
        """.lic files: a critical one is refused, any other passed over."""
        if not _is_lic(coded[1]):
            return
        file = container.read(coded[1])
        critical, ancillary = (
            container.write(
                attrs.evolve(file, streams={**file.streams, "nobody-reads-this 9": Stream(b"?", needed)})
            )
            for needed in (True, False)
        )
        for check in (codec.decode, codec.verify):
            with pytest.raises(WeightsMismatchError):
                check(critical)
        shown = codec.decode(ancillary).picture.pixels
        assert np.array_equal(shown, codec.decode(coded[1]).picture.pixels)

    def test_a_file_names_its_codec(self, codec: ImageCodec, coded: tuple[Picture, bytes]) -> None:
        """.lic files: ``licframe.read`` decodes them without a profile; another codec's are refused."""
        if not _is_lic(coded[1]):
            return
        assert np.array_equal(read(coded[1]).pixels, codec.decode(coded[1]).picture.pixels)
        file = container.read(coded[1])
        header = container.Header(
            file.header.width,
            file.header.height,
            file.header.mode,
            50,
            "mine",
            (),
            b"",
            codec="nobody-has-this 9",
        )
        foreign = attrs.evolve(file, header=header, details=())
        with pytest.raises(WeightsMismatchError):
            codec.decode(container.write(foreign))

    def test_best_effort_does_without_metadata(
        self, codec: ImageCodec, coded: tuple[Picture, bytes]
    ) -> None:
        """.lic files: damaged metadata is an error, or left out and told of."""
        damaged = coded[1].replace(b"exif!", b"EXIF!")
        if not _is_lic(coded[1]) or damaged == coded[1]:
            return
        with pytest.raises(CorruptStreamError):
            codec.decode(damaged)
        decoded = codec.decode(damaged, best_effort=True)

        assert decoded.damage
        assert "exif" not in decoded.picture.metadata
        assert np.array_equal(decoded.picture.pixels, codec.decode(coded[1]).picture.pixels)


def _alone(profile: Name | Profile) -> ImageCodec:
    """Return a codec without the one that it falls back to."""
    profile = profile if isinstance(profile, Profile) else load_profile(os.fspath(profile))
    return load(attrs.evolve(profile, encoder=Encoder(lossless_fallback=False)))


def _middle(codec: ImageCodec) -> Any:
    return codec.qualities[len(codec.qualities) // 2]


def _best(codec: ImageCodec) -> Any:
    """Return the quality of the largest file; on some scales it is the first."""
    picture = picture_of(24, 24)
    return max(_ends(codec), key=lambda quality: len(codec.encode(picture, Target(quality=quality)).data))


def _ends(codec: ImageCodec) -> tuple[Any, Any]:
    return codec.qualities[0], codec.qualities[-1]


def _of_flat(picture: Picture) -> float:
    """Return the PSNR in dB of a picture of one value, the mean."""
    return psnr(picture.pixels, np.full_like(picture.pixels, picture.pixels.mean()))


def _is_lic(data: bytes) -> bool:
    return data.startswith(container.MAGIC)


def _decoded_or_refused(codec: ImageCodec, data: bytes) -> Picture | None:
    """Return the picture of a damaged file; None if it is refused as it should be."""
    try:
        return codec.decode(data, _SMALL).picture
    except LicframeError:
        return None
