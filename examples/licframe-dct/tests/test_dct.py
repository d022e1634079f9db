from pathlib import Path

import pytest

from licframe.testing.conformance import CodecConformance


class TestDct(CodecConformance):
    @pytest.fixture
    def profile(self) -> Path:
        return Path(__file__).parent.parent / "dct.toml"
