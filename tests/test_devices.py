"""Any device computes the same symbols: what can be tried of that without a GPU."""

from __future__ import annotations

import pytest
import torch

import licframe
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_latent
from licframe.errors import NotExactError, UsageError
from licframe.exact import devices
from licframe.model import latent_coding
from licframe.model.interfaces import Step
from licframe.runtime.clock import Clock
from tests.test_rehearsal import META, OnlyThere

CONTEXTS = {
    "msp": [],
    "msp-3": ["context_scheduler.phases=3", "context_scheduler.groups=[8, 20]"],
    "checkerboard": ["context_scheduler.plugin=checkerboard"],
    "hyperprior": ["context_scheduler.plugin=hyperprior"],
    "autoregressive": ["context_scheduler.plugin=autoregressive", "context_scheduler.order=wavefront"],
}


def test_the_cpu_knows_the_answers() -> None:
    devices.prove_exact.cache_clear()
    devices.prove_exact(torch.device("cpu"))


@pytest.mark.parametrize(
    "arithmetic",
    [
        lambda b, x, y: (b.float() + x.float() @ y.float()).double(),
        # two parts of 26 bits, as where float64 is made of narrower numbers, the smallest product left out
        lambda b, x, y: b + x @ y - (x - (x / 4096).round() * 4096) @ (y - (y / 4096).round() * 4096),
    ],
    ids=["float32", "parts"],
)
def test_a_device_that_rounds_is_found(monkeypatch: pytest.MonkeyPatch, arithmetic) -> None:
    monkeypatch.setattr(torch, "baddbmm", arithmetic)
    devices.prove_exact.cache_clear()
    with pytest.raises(NotExactError, match="--device cpu"):
        devices.prove_exact(torch.device("cpu"))
    monkeypatch.undo()
    devices.prove_exact.cache_clear()


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "cuda:99", "meta", ""])
def test_devices_that_are_not_there_are_named(name: str) -> None:
    with pytest.raises(UsageError, match="device"):
        licframe.load("tiny", device=name)


def test_auto_takes_the_cpu_where_a_gpu_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def prove(device: torch.device) -> None:
        if device.type == "cuda":
            raise NotExactError("rounds")

    monkeypatch.setattr(devices, "prove_exact", prove)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    assert devices.device_named("auto") == torch.device("cpu")
    with pytest.raises(NotExactError):
        devices.device_named("cuda")


@pytest.mark.slow
@pytest.mark.parametrize("settings", CONTEXTS.values(), ids=CONTEXTS.keys())
def test_coding_on_another_device_touches_no_other(settings: list[str]) -> None:
    """Analysis, the walk in integers and synthesis, on a device where a value that is read back raises."""
    from licframe.profile.profile import latent_profile
    from licframe.testing.conformance import random_codec

    model = random_codec(latent_profile("tiny", settings)).model.to(META)
    image = torch.rand(1, 3, 75, 52, device=META)
    channels = model.transform.latent_channels
    shapes = {"y": (1, channels, 5, 4)}
    shapes |= {name: (1, *shape) for name, shape in model.scheduler.side_shapes(5, 4).items()}

    def fix(step: Step, parameters: torch.Tensor) -> torch.Tensor:
        assert parameters.dtype == torch.float64
        return parameters[:, 0] * 0

    def code() -> torch.Tensor:
        latent = model.analyse(image, 50)
        known = latent_coding.nothing_known(model, 50, shapes)
        model.scheduler.side(latent, known.condition)
        model.walk(known, fix)
        return model.synthesise(known["y"], 50, 75, 52)

    with torch.inference_mode():
        code()  # what is made once
        with OnlyThere():
            assert code().shape == image.shape


def test_an_entropy_model_with_tensors_leaves_a_copy_on_the_cpu() -> None:
    """The coder is there, and what it is given."""
    model = load_latent("tiny").model
    inner = model.entropy_models[0]
    inner.register_buffer("share", torch.ones(1))
    model.freeze()
    model.to(META)
    step = model.scheduler.plan(4, 4)[0]

    assert model.entropy_model(step).share.device == META
    assert model.coding_model(step).share.device == torch.device("cpu")


def test_the_loop_takes_what_another_device_gives(
    codec: LatentCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters are taken to the CPU once a step, and values given back once."""
    taken = []
    cpu, to = torch.Tensor.cpu, torch.Tensor.to
    latent = codec.model.analyse(torch.rand(1, 3, 64, 48), 50)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda self: taken.append("down") or cpu(self))
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: taken.append("up") or to(self, *a, **k))
    with torch.no_grad():
        latent_coding.encode(codec.model, latent, 50, Clock(), sparse=False)
    steps = len(codec.model.scheduler.plan(4, 3))

    assert taken.count("down") <= steps + 3
    assert taken.count("up") <= steps + 3
