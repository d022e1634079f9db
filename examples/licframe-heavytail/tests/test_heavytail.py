import pytest

from licframe.testing.conformance import Conformance, PictureFilterConformance


class TestHeavyTail(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["context_scheduler.plugin=flat", "entropy_model.plugin=heavy-tail"]


class TestLevels(PictureFilterConformance):
    @pytest.fixture(params=["true", "false"])
    def settings(self, request: pytest.FixtureRequest) -> list[str]:
        return ["picture_filter.plugin=levels", f"picture_filter.gain={request.param}"]
