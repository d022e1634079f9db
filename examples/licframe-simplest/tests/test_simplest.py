from pathlib import Path

import pytest

from licframe.testing.conformance import CodecConformance, Conformance


class TestBlocks(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["transform.plugin=block-basis"]


class TestScaling(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["refiner.plugin=scaling"]


class TestDifferences(CodecConformance):
    @pytest.fixture
    def profile(self, tmp_path: Path) -> Path:
        path = tmp_path / "differences.toml"
        path.write_text('[codec]\nplugin = "differences"\n')
        return path
