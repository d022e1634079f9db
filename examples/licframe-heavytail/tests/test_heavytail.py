import pytest

from licframe.testing.conformance import Conformance


class TestHeavyTail(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["context_scheduler.plugin=flat", "entropy_model.plugin=heavy-tail"]
