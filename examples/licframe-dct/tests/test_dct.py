import zlib
from pathlib import Path

import pytest

import licframe
from licframe.parts import Target
from licframe.testing.conformance import CodecConformance, picture_of

HERE = Path(__file__).parent


class TestDct(CodecConformance):
    @pytest.fixture
    def profile(self) -> Path:
        return HERE.parent / "dct.toml"


def test_an_old_file_decodes_to_the_same_picture_everywhere() -> None:
    picture = licframe.read(HERE / "golden.lic")

    assert (picture.size, picture.mode, picture.depth) == ((23, 17), "RGBA", 16)
    assert zlib.crc32(picture.samples.astype("<u2").tobytes()) == 1621103173


def test_rounding_down_saves_bytes() -> None:
    picture = picture_of(96, 64)
    nearest, less = (
        licframe.load(HERE.parent / "dct.toml", [f"codec.rounding={rounding}"])
        .encode(picture, Target(quality=30))
        .data
        for rounding in (0.5, 0.3)
    )

    assert len(less) < len(nearest)
