"""Large pictures: latents in tiles, parts of pictures, and damage that stays where it is."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import licframe
from licframe.bitstream import container
from licframe.cli import app
from licframe.codec import blocks, encoding
from licframe.codec.blocks import BlockEncoding
from licframe.codec.decoding import Decoding
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.codec.trials import Trials
from licframe.errors import CorruptStreamError, LicframeError, LimitError, ProfileError, UsageError
from licframe.evaluation.datasets import sample_picture
from licframe.exact.units import CENTRE_FRACTION
from licframe.model import latent_coding, tiled_coding, windows
from licframe.model.tiled_coding import Tiles
from licframe.picture.images import Picture, from_array, read_picture
from licframe.picture.tensors import tensor_of
from licframe.profile import profile
from licframe.profile.profile import load_profile
from licframe.runtime.clock import Clock
from licframe.runtime.limits import Limits
from tests.conftest import noise_picture

SETTINGS = ["encoder.tile=256", "encoder.tiled_above=0"]
WIDTH, HEIGHT = 530, 300
"""Three columns, the last of 18 samples, and two rows."""


@pytest.fixture(scope="module")
def tiling() -> LatentCodec:
    return load_latent("tiny", SETTINGS)


@pytest.fixture(scope="module")
def picture() -> Picture:
    pixels = read_picture(sample_picture()).pixels
    return from_array(pixels[:HEIGHT, :WIDTH])


@pytest.fixture(scope="module", params=[40, 90], ids=["latent", "details"])
def data(request, tiling: LatentCodec, picture: Picture) -> bytes:
    return tiling.encode(picture, Target(quality=request.param)).data


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other).max())


def test_a_file_in_tiles_shows_what_one_without_does(
    codec: LatentCodec, tiling: LatentCodec, picture: Picture
) -> None:
    """The latent is the same but for rounding about other centres: contexts alone are cut."""
    for quality, much in ((40, 0.2), (90, 0.1)):
        data, plain = (c.encode(picture, Target(quality=quality)).data for c in (tiling, codec))
        file = container.read(data)
        fidelity = [picture.psnr(codec.decode(some).picture.pixels) for some in (data, plain)]

        assert (file.header.revision, file.tile, len(file.payloads)) == (6, 256, 6)
        assert container.read(plain).header.revision == 5
        assert len(file.details) == (6 if quality == 90 else 0)
        assert fidelity[0] > fidelity[1] - much
        assert len(data) < 1.1 * len(plain) + 200


def test_a_latent_in_tiles_is_within_rounding_of_the_whole(tiling: LatentCodec, picture: Picture) -> None:
    """Both are half a step from the analysis, at most, and a tile is what it is without the others."""
    model = tiling.model
    with torch.no_grad():
        latent = model.analyse(tensor_of(picture), 50)
        cut, whole = (
            tiled_coding.encode(model, latent, 50, Clock(), Tiles(HEIGHT, WIDTH, side)) for side in (256, 0)
        )
        alone = latent_coding.encode(model, latent[..., 16:, 16:32], 50, Clock())

    assert float((cut.y - whole.y).abs().max()) <= 2**CENTRE_FRACTION
    assert cut.streams[4] == (alone.payload, alone.digest)
    assert torch.equal(cut.y[..., 16:, 16:32], alone.y)
    assert len(whole.streams) == 1


@pytest.mark.parametrize("size", [(257, 3), (1, 600), (512, 257)])
@pytest.mark.parametrize("quality", [20, 90])
def test_tiles_of_one_row_or_column(tiling: LatentCodec, size: tuple[int, int], quality: int) -> None:
    picture = noise_picture(*size)
    data = tiling.encode(picture, Target(quality=quality)).data
    shown = tiling.decode(data).picture
    width, height = size
    last = tiling.decode(data, region=(width - 1, height - 1, 1, 1)).picture.pixels

    assert container.read(data).tile == 256
    assert shown.size == size
    assert picture.psnr(shown.pixels) > 18
    assert difference(last, shown.pixels[-1:, -1:]) <= 1


REGIONS = [
    (0, 0, WIDTH, HEIGHT),
    (0, 0, 1, 1),
    (WIDTH - 1, HEIGHT - 1, 1, 1),
    (100, 40, 120, 70),
    (250, 250, 20, 10),
    (0, 130, WIDTH, 3),
    (515, 0, 15, HEIGHT),
]


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_is_what_the_whole_shows_there(
    tiling: LatentCodec, data: bytes, region: tuple[int, ...]
) -> None:
    whole = tiling.decode(data).picture.pixels
    x, y, w, h = region
    found = tiling.decode(data, region=region).picture.pixels

    assert found.shape == (h, w, 3)
    assert difference(found, whole[y : y + h, x : x + w]) <= 1


@pytest.mark.parametrize("region", REGIONS[1:5])
def test_regions_of_files_without_tiles(
    codec: LatentCodec, picture: Picture, region: tuple[int, ...]
) -> None:
    """With a filter: it sees beyond the region, and so does what is decoded for it."""
    data = codec.encode(picture, Target(quality=50)).data
    x, y, w, h = region
    whole = codec.decode(data).picture.pixels

    assert container.read(data).streams
    assert difference(codec.decode(data, region=region).picture.pixels, whole[y : y + h, x : x + w]) <= 1


def test_only_the_tiles_are_decoded_that_a_region_needs(
    tiling: LatentCodec, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near a border those beyond it, too: what the synthesis sees is the tile's and a halo."""
    asked: list[list[int]] = []
    whole = tiled_coding.decode

    def decode(*given, numbers, **more):
        asked.append(list(numbers))
        return whole(*given, numbers=numbers, **more)

    monkeypatch.setattr(tiled_coding, "decode", decode)
    for region, base, details in (
        ((20, 20, 100, 100), [0], [0]),
        ((20, 20, 200, 100), [0, 1], [0]),
        ((340, 270, 40, 20), [1, 4], [4]),
    ):
        asked.clear()
        tiling.decode(data, region=region)
        wanted = [base, details] if container.read(data).details else [base]
        assert asked == wanted


def test_the_order_of_tiles_does_not_matter(tiling: LatentCodec, data: bytes) -> None:
    file, tiles = container.read(data), Tiles(HEIGHT, WIDTH, 256)
    found = [
        tiled_coding.decode(
            tiling.model,
            file.payloads,
            file.header.latent_quality,
            Clock(),
            tiles,
            numbers=numbers,
        )
        for numbers in (range(6), reversed(range(6)))
    ]

    assert found[0].keys() == found[1].keys() == set(range(6))
    assert all(torch.equal(found[0][number], found[1][number]) for number in range(6))


def test_alpha_and_metadata_of_a_region(tiling: LatentCodec) -> None:
    rng = np.random.default_rng(0)
    pixels = noise_picture(300, 260).pixels
    opacity = rng.integers(0, 256, (260, 300), dtype=np.uint8)
    for picture in (
        Picture(pixels, {"exif": b"e"}, opacity),
        Picture(pixels[..., 0].astype(np.uint16) * 257, {}, opacity.astype(np.uint16) * 257),
    ):
        data = tiling.encode(picture, Target(quality=30)).data
        decoded = tiling.decode(data, region=(250, 10, 50, 200)).picture

        assert (decoded.mode, decoded.depth, decoded.size) == (picture.mode, picture.depth, (50, 200))
        assert np.array_equal(decoded.alpha, picture.alpha[10:210, 250:])
        assert decoded.metadata == picture.metadata
        tiling.verify(data)


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 5), (-1, 0, 5, 5), (0, 0, WIDTH + 1, 5), (WIDTH, 0, 1, 1), (0, 299, 4, 2), (1, 2)]
)
def test_regions_outside_are_refused(tiling: LatentCodec, data: bytes, region: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="region"):
        tiling.decode(data, region=region)
    with pytest.raises(UsageError, match="region"):
        licframe.read(data, region=region)


def test_the_library_and_other_codecs_take_regions(data: bytes, picture: Picture) -> None:
    region = 40, 30, 20, 10
    kept = licframe.load("lossless").compress(picture)

    assert licframe.decompress(data, region=region).size == (20, 10)
    assert np.array_equal(licframe.read(kept, region=region).pixels, picture.pixels[30:40, 40:60])


# -- what is cut, and what is not ------------------------------------------------------------------


def test_only_large_pictures_are_cut(codec: LatentCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default above 16 megapixels, into tiles of 1024 pixels; a picture that one tile holds never."""
    side = LatentCodec._side_of_tiles
    never, always = (load_latent("tiny", ["encoder.tile=0", *SETTINGS[1:]]), load_latent("tiny", SETTINGS))

    assert side(codec, 4096, 4096) == 0
    assert side(codec, 4097, 4096) == 1024
    assert side(never, 9000, 9000) == 0
    assert side(always, 256, 256) == 0
    assert side(always, 1, 257) == 256
    monkeypatch.setattr(type(always.model.transform), "stride", 24)
    assert side(always, 1000, 1000) == 0


@pytest.mark.parametrize("tile", [64, 257, 300, -64, 2**24 + 64])
def test_tiles_of_odd_sizes_are_refused(tile: int) -> None:
    with pytest.raises(ProfileError, match="multiple of 64"):
        load_profile("tiny", [f"encoder.tile={tile}"])


def test_profiles_and_files_speak_of_the_same_tiles() -> None:
    assert profile.TILE_UNIT == container.TILE_UNIT
    assert profile.SMALLEST_TILE == container.SMALLEST_TILE


def test_a_huge_picture_has_no_filter(
    tiling: LatentCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert container.read(tiling.encode(picture, Target(quality=50)).data).streams
    monkeypatch.setattr(encoding, "LARGEST_FILTERED", WIDTH * HEIGHT - 1)
    assert not container.read(tiling.encode(picture, Target(quality=50)).data).streams


def test_a_search_ends_at_the_symbols_of_its_quality(tiling: LatentCodec) -> None:
    """Though it keeps no trial but the last; a filter may not fit in."""
    picture = noise_picture(270, 40)
    found = tiling.encode(picture, Target(size=700))

    assert len(found.data) <= 700
    again = tiling.encode(picture, Target(quality=found.quality)).data
    assert container.read(found.data).payloads == container.read(again).payloads


def test_windows_and_tiles_together(
    tiling: LatentCodec, picture: Picture, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As large pictures have them; details too."""
    shown = tiling.decode(data).picture.pixels
    monkeypatch.setattr(windows, "LARGEST_WHOLE", 0)
    monkeypatch.setattr(windows, "WINDOW", 128)

    assert difference(tiling.decode(data).picture.pixels, shown) <= 1
    quality = container.read(data).header.quality
    again = tiling.encode(picture, Target(quality=quality)).data
    assert len(again) == pytest.approx(len(data), rel=0.01)


@pytest.mark.parametrize("quality", [50, 72, 90])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_large_picture_is_coded_block_by_block(
    tiling: LatentCodec, picture: Picture, quality: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is that of the picture as a whole, but for rounding, and the filter."""
    plain = load_latent("tiny", [*SETTINGS, "picture_filter.plugin=none"])
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:90, :300] = 0
    shown = {
        "RGB": picture,
        "RGBA": Picture(picture.pixels, {}, alpha),
        "L": Picture(picture.pixels[..., 1]),
    }
    image = shown[mode]
    whole = plain.encode(image, Target(quality=quality))
    monkeypatch.setattr(blocks, "LARGEST_AT_ONCE", 0)
    monkeypatch.setattr(windows, "LARGEST_WHOLE", 0)
    monkeypatch.setattr(windows, "WINDOW", 256)
    found = plain.encode(image, Target(quality=quality))
    files = [container.read(encoded.data) for encoded in (whole, found)]

    assert files[0].header == files[1].header
    assert len(found.data) == pytest.approx(len(whole.data), rel=0.01)
    assert found.information == pytest.approx(whole.information, rel=0.01)
    assert image.psnr(plain.decode(found.data).picture.pixels) == pytest.approx(
        image.psnr(plain.decode(whole.data).picture.pixels), abs=0.1
    )


def test_targets_of_a_picture_in_blocks(
    tiling: LatentCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LARGEST_AT_ONCE", 0)
    small, good = (tiling.encode(picture, Target(**target)) for target in ({"size": 9000}, {"psnr": 32}))

    assert 7000 < len(small.data) <= 9000
    assert 32 <= picture.psnr(tiling.decode(good.data).picture.pixels) < 33


def test_a_block_that_does_not_decode_is_not_written(
    tiling: LatentCodec, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "LARGEST_AT_ONCE", 0)
    monkeypatch.setattr(BlockEncoding, "file", lambda self, trial: broken(Trials.file(self, trial)))
    with pytest.raises(CorruptStreamError, match="nothing was saved"):
        tiling.encode(picture, Target(quality=50))


def broken(file: container.File) -> container.File:
    (payload, digest), *others = file.payloads
    return attrs.evolve(file, payloads=((payload, digest ^ 1), *others))


@pytest.mark.parametrize("quality", [40, 90])
def test_nothing_of_blocks_before_is_kept(
    tiling: LatentCodec, quality: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles are decoded once, and forgotten when no block needs them any more."""
    monkeypatch.setattr(windows, "LARGEST_WHOLE", 0)
    monkeypatch.setattr(windows, "WINDOW", 256)
    data = tiling.encode(noise_picture(40, 1500), Target(quality=quality)).data
    decoded: list[int] = []
    real = latent_coding.decode
    monkeypatch.setattr(
        latent_coding, "decode", lambda *given, **more: decoded.append(1) or real(*given, **more)
    )
    decoding = Decoding(tiling, container.read(data), Clock())
    kept = []
    for block in decoding.walk(decoding.tiles.blocks()):
        decoding.picture(block)
        kept.append(len(decoding._base.parts))

    assert len(decoded) == 6 * (1 + bool(container.read(data).details))
    assert max(kept) == 3
    assert not decoding._base.parts


# -- damage ------------------------------------------------------------------------------------------


def flipped(data: bytes, kind: bytes, number: int) -> bytes:
    """A file with a bit changed in the middle of a chunk."""
    places = [(offset, len(body)) for found, body, offset in container.chunks(data) if found == kind]
    place, length = places[number]
    damaged = bytearray(data)
    damaged[place + length // 2] ^= 1
    return bytes(damaged)


def test_damage_of_a_tile_stays_in_it(tiling: LatentCodec, data: bytes) -> None:
    """The others are as they were, but for what the synthesis sees of it."""
    whole = tiling.decode(data).picture.pixels
    damaged = flipped(data, b"P", 1)
    with pytest.raises(CorruptStreamError):
        tiling.decode(damaged)
    found = tiling.decode(damaged, best_effort=True)
    pixels, halo = found.picture.pixels, 16 * tiling.model.transform.synthesis_halo

    assert any(
        "6 tiles, counted from 0, 1 cannot be decoded: they are grey" in said for said in found.damage
    )
    assert (pixels[:256, 256:512] == pixels[0, 256]).all()
    assert 127 <= pixels[0, 256, 0] <= 128
    assert difference(pixels[:, : 256 - halo], whole[:, : 256 - halo]) <= 1
    part = tiling.decode(damaged, best_effort=True, region=(240, 100, 40, 30)).picture.pixels
    assert difference(part, pixels[100:130, 240:280]) <= 1
    with pytest.raises(CorruptStreamError, match="checksum"):
        tiling.decode(damaged, region=(0, 0, 10, 10))


def test_damage_of_details_leaves_the_tile_below(tiling: LatentCodec, picture: Picture) -> None:
    data = tiling.encode(picture, Target(quality=90)).data
    file = container.read(data)
    below = tiling.decode(container.write(attrs.evolve(file, details=()))).picture.pixels
    whole = tiling.decode(data).picture.pixels
    found = tiling.decode(flipped(data, b"D", 3), best_effort=True)
    pixels = found.picture.pixels

    assert any("3 cannot be decoded whole: their details are left out" in said for said in found.damage)
    assert difference(pixels[256:, :256], below[256:, :256]) <= 1
    assert difference(pixels[:256], whole[:256]) <= 1
    assert difference(pixels[256:, 256:], whole[256:, 256:]) <= 1
    first = next(offset for kind, _, offset in container.chunks(data) if kind == b"D")
    cut = tiling.decode(data[:first], best_effort=True)
    assert difference(cut.picture.pixels, below) <= 1
    assert any("its details are left out" in said for said in cut.damage)


def test_a_file_that_ends_early_shows_the_tiles_before(tiling: LatentCodec, data: bytes) -> None:
    places = [offset for kind, _, offset in container.chunks(data) if kind == b"P"]
    whole = tiling.decode(data).picture.pixels
    found = tiling.decode(data[: places[3] + 5], best_effort=True)

    assert any("3, 4, 5 cannot" in said for said in found.damage)
    if not container.read(data).details:
        assert difference(found.picture.pixels[:192], whole[:192]) <= 1
    with pytest.raises(LicframeError):
        tiling.decode(data[: places[0]], best_effort=True)


def test_a_tile_that_lies_is_grey_too(tiling: LatentCodec, data: bytes) -> None:
    """Its checksum is right, its digest is not."""
    file = container.read(data)
    payloads = list(file.payloads)
    payloads[2] = payloads[2][0], payloads[2][1] ^ 1
    lying = container.write(attrs.evolve(file, payloads=tuple(payloads)))
    for use in (tiling.decode, tiling.verify):
        with pytest.raises(CorruptStreamError, match="digest"):
            use(lying)
    tiling.decode(lying, region=(0, 0, 50, 50))  # needs no other tile

    assert any("2 cannot" in said for said in tiling.decode(lying, best_effort=True).damage)


# -- the container -----------------------------------------------------------------------------------

HEADER = container.Header(600, 500, "RGB", 50, "mine", ("a 1", "b 1", "c 1"), b"abcdef")
PAYLOADS = tuple((bytes([n]) * (9 + 50 * n), n) for n in range(6))
FILE = container.File(HEADER, PAYLOADS, tile=256)
DETAILED = attrs.evolve(
    FILE, details=tuple(container.Detail(9, b"weight", b"shower", bytes(n), n) for n in range(6))
)


def made_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return bytes(container.MAGIC) + b"\x01" + b"".join(container.chunk(*c) for c in chunks)


def chunks_of(file: container.File) -> list[tuple[bytes, bytes]]:
    return [(kind, body) for kind, body, _ in container.chunks(container.write(file))]


@pytest.mark.parametrize("file", [FILE, DETAILED])
def test_tiles_round_trip(file: container.File) -> None:
    found = container.read(container.write(file))

    assert found.header.revision == 6
    assert (found.payloads, found.details, found.tile) == (file.payloads, file.details, 256)
    assert found == container.read(container.write(found))


@pytest.mark.parametrize(
    ("size", "tile", "refused"),
    [((9000, 9000), 4096, False), ((9000, 9000), 8960, True), ((100_000, 800), 8960, False)],
)
def test_tiles_as_large_as_pictures_have_their_limits(
    size: tuple[int, int], tile: int, refused: bool
) -> None:
    """A file chooses its tiles: one of all but a few columns takes the memory of a picture that is not cut."""
    width, height = size
    header = attrs.evolve(HEADER, width=width, height=height)
    count = -(-width // tile) * -(-height // tile)
    data = container.write(container.File(header, ((b"", 0),) * count, tile=tile))
    limits = Limits(memory=Limits.memory_for(width * height))
    if refused:
        with pytest.raises(LimitError, match="memory=40500000000"):
            container.read(data, limits)
    else:
        assert len(container.read(data, limits).payloads) == count


def test_a_picture_that_is_computed_whole_has_its_limits(
    tiling: LatentCodec, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows how far a deformable convolution sees: tiles save no memory then."""
    memory = Limits.memory_for(9000 * 9000)
    header = attrs.evolve(container.read(data).header, width=9000, height=9000)
    large = container.write(container.File(header, ((b"", 0),) * 81, tile=1024))
    with pytest.raises(CorruptStreamError):
        tiling.decode(large, Limits(memory=memory))
    monkeypatch.setattr(type(tiling.model.transform), "synthesis_halo", None)
    with pytest.raises(LimitError, match="memory=40500000000"):
        tiling.decode(large, Limits(memory=memory))


@pytest.mark.parametrize("file", [FILE, DETAILED])
def test_every_truncation_and_every_flipped_byte_is_an_error(file: container.File) -> None:
    data = container.write(file)
    for length in range(len(data)):
        with pytest.raises(CorruptStreamError):
            container.read(data[:length])
        damaged = bytearray(data)
        damaged[length] ^= 1 << length % 8
        with pytest.raises(LicframeError):
            container.read(bytes(damaged))


def hostile() -> dict[str, tuple[list[tuple[bytes, bytes]], str]]:
    """Files that lie about their tiles, and what is said of them."""
    head, index, *rest = chunks_of(DETAILED)
    body = index[1]
    swapped = [rest[1], rest[0], *rest[2:]]
    old = (b"H", container.pack_header(attrs.evolve(HEADER, details=True)))
    other = attrs.evolve(HEADER, codec="dct 1", revision=6)
    return {
        "none": ([head, rest[0]], "without an index"),
        "of an older revision": ([old, index, *rest], "with an index"),
        "of another codec": ([(b"H", container.pack_header(other)), index, *rest], "kind|quality"),
        "twice": ([head, index, index, *rest], "unexpected"),
        "late": ([head, rest[0], index, *rest[1:]], "unexpected"),
        "empty": ([head, (b"T", b""), *rest], "inside a number"),
        "short": ([head, (b"T", body[:-1]), *rest], "too short|inside"),
        "long": ([head, (b"T", body + b"\0"), *rest], "not of the 6 tiles|too short|where the index"),
        "no size": ([head, (b"T", b"\0" + body[1:]), *rest], "no size"),
        "too small": ([head, (b"T", b"\x03" + body[1:]), *rest], "no size"),
        "one tile": ([head, (b"T", b"\x0a" + body[1:]), *rest], "no place"),
        "huge": ([head, (b"T", b"\xff\xff\xff\xff\x7f" + body[1:]), *rest], "no place"),
        "fewer": ([head, (b"T", b"\x05" + body[1:]), *rest], "not of the|where the index"),
        "swapped": ([head, index, *swapped], "where the index"),
        "a payload less": ([head, index, *rest[1:]], "where the index"),
        "one more": ([head, index, *rest, rest[-1]], "not of the 6"),
        "lengths": ([head, (b"T", body[:1] + b"\xff\xff\xff\xff\x0f" + body[2:]), *rest], "where|not of"),
    }


@pytest.mark.parametrize("lie", hostile())
def test_an_index_that_lies_is_refused(lie: str) -> None:
    chunks, said = hostile()[lie]
    with pytest.raises(CorruptStreamError, match=said):
        container.read(made_of(chunks))


def test_an_index_needs_bytes_for_what_it_claims() -> None:
    """Before anything is allocated for so many tiles."""
    header = attrs.evolve(HEADER, width=2**24, height=2**24, revision=6)
    data = made_of([(b"H", container.pack_header(header)), (b"T", b"\x04" + bytes(50)), (b"P", bytes(8))])
    limits = container.Limits(2**60, 2**30, 2**60)
    with pytest.warns(licframe.errors.LicframeWarning), pytest.raises(CorruptStreamError):
        container.read(data, limits)
    with (
        pytest.warns(licframe.errors.LicframeWarning),
        pytest.raises(CorruptStreamError, match="too short"),
    ):
        container.read(data, limits, best_effort=True)


@pytest.mark.parametrize(
    "change",
    [
        {"payloads": PAYLOADS[:5]},
        {"tile": 128},
        {"tile": 300},
        {"tile": 640},
        {"tile": 0},
        {"details": DETAILED.details[:2]},
        {"details": (*DETAILED.details[:5], None)},
        {"header": attrs.evolve(HEADER, codec="dct 1")},
    ],
)
def test_what_a_reader_would_refuse_is_not_written(change: dict) -> None:
    with pytest.raises(ValueError, match=r"tile|details|read as another|written"):
        container.write(attrs.evolve(FILE, **change))


def test_best_effort_finds_tiles_by_their_place() -> None:
    """Those that stand elsewhere than the index says may be anybody's."""
    head, index, *rest = chunks_of(FILE)
    found = container.read(made_of([head, index, *rest[:2], *rest[3:]]), best_effort=True)

    assert found.lost == (2, 3, 4, 5)
    assert found.payloads[:2] == PAYLOADS[:2]


# -- commands ----------------------------------------------------------------------------------------


def test_commands_cut_and_take_parts(tmp_path, picture: Picture, codec: LatentCodec) -> None:
    picture.save(tmp_path / "a.png")

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app.app, [*arguments], catch_exceptions=True)
        return f"{done.exit_code} {done.output} {done.exception!r}"

    file, part = str(tmp_path / "a.lic"), str(tmp_path / "part.png")
    run("compress", str(tmp_path / "a.png"), "-p", "tiny", "--tile", "256")
    assert '"tiles": 6' in run("info", "--json", file)
    assert "100x50" in run("decompress", file, "-o", part, "--region", "400,200,100,50")
    assert read_picture(tmp_path / "part.png").size == (100, 50)
    assert "does not lie within" in run(
        "decompress", file, "-o", str(tmp_path / "b.png"), "--region", "0,0,900,9"
    )
    assert "write X,Y" in run("decompress", file, "-o", str(tmp_path / "b.png"), "--region", "0,0,9")
    assert "multiple of 64" in run(
        "compress", str(tmp_path / "a.png"), "--tile", "100", "-o", str(tmp_path / "c.lic")
    )
