"""The lossless codec: what is seen comes back, and what is hostile does not get far."""

from __future__ import annotations

import pytest

from licframe.testing.conformance import CodecConformance


class TestLossless(CodecConformance):
    @pytest.fixture
    def profile(self) -> str:
        return "lossless"
