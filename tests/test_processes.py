"""Two processes that train together give the losses and the weights of one; the first alone writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from licframe.errors import FileError, UsageError
from licframe.model.noise import part_of_batch, uniform_noise
from licframe.profile.profile import latent_profile
from licframe.testing.exactness import sample_images
from licframe.training import Hardware, Run, Schedule, Settings, distill, fit_detail, hardware_on, train
from licframe.training.data import drawn
from licframe.training.processes import Processes
from tests.test_cli import licframe
from tests.test_training import DISTILLED

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")

SCRIPT = """
import os, sys
from pathlib import Path
from tests.test_processes import trained

run = trained(*sys.argv[1:])
Path(run.folder, "said-" + os.environ["RANK"]).write_text(f"{run.fingerprint} {run.lines[-1]}")
"""


def trained(what: str, data: Path | str, folder: Path | str, *steps: str) -> Run:
    """Train, and go on from the checkpoint as often as there are further steps; return the last run."""
    hardware = hardware_on("cpu", "32-true")
    run = None
    for length in steps:
        common = {
            "folder": folder,
            "resume": run is not None,
            "schedule": Schedule(steps=int(length), batch=4, patch=64, warmup=5, decay=0.25),
            "settings": Settings(log_every=1),
            "hardware": hardware,
        }
        if what == "detail":
            run = fit_detail("tiny", [data], patches=16, **common)
        elif what == "distill":
            run = distill(latent_profile("tiny", DISTILLED), [data], teacher="tiny", patches=16, **common)
        else:
            run = train("tiny", [data], fit=what, latents=16, **common)
    assert run is not None
    return run


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 24 names, enough for some to be held out."""
    made = tmp_path_factory.mktemp("photographs")
    for k, pixels in enumerate(sample_images(24, 110, seed=5)):
        Image.fromarray(pixels).save(made / f"{k}.png")
    return made


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As processes have it that torchrun starts: the signs of principal components may depend on that."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def started(count: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments, in several processes that torchrun starts."""
    paths = os.pathsep.join(map(str, [ROOT, ROOT / "plugins", os.environ.get("PYTHONPATH", "")]))
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    return subprocess.run(
        [sys.executable, *(several if count > 1 else []), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def lines_of(folder: Path) -> list[dict[str, float]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in records if "loss" in record]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("what", "steps"), [("all", ("8", "4")), ("context", ("4",)), ("detail", ("4",)), ("distill", ("4",))]
)
def test_two_processes_train_as_one(
    photographs: Path, tmp_path: Path, what: str, steps: tuple[str, ...]
) -> None:
    """Losses to 1e-5, weights to 1e-4, on from a checkpoint, too."""
    one, two = tmp_path / "one", tmp_path / "two"
    trained(what, photographs, one, *steps)
    (tmp_path / "train.py").write_text(SCRIPT)
    done = started(2, tmp_path / "train.py", what, photographs, two, *steps)
    assert done.returncode == 0, done.stderr[-3000:]
    alone, together = lines_of(one), lines_of(two)
    said = [(two / f"said-{rank}").read_text() for rank in (0, 1)]
    states = [torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (one, two)]
    weights = [load_file(folder / "weights.safetensors") for folder in (one, two)]
    record = json.loads((two / "environment.json").read_text())

    assert [line["step"] for line in together] == [line["step"] for line in alone]
    assert [line["patches"] for line in together] == [line["patches"] for line in alone]
    for mine, theirs in zip(alone, together, strict=True):
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-5, abs=1e-5)
        assert theirs["bpp"] == pytest.approx(mine["bpp"], rel=1e-5, abs=1e-5)
    assert together[-1]["held_out"] == pytest.approx(alone[-1]["held_out"], rel=1e-4)
    assert len({line["loss"] for line in together}) > len(together) // 2
    for key in ("model", "average"):
        for name, value in states[0][key].items():
            assert torch.allclose(states[1][key][name], value, atol=1e-4), name
    assert states[0]["moments"].keys() == states[1]["moments"].keys()
    for name, value in weights[0].items():  # in half the precision
        assert torch.allclose(weights[1][name].float(), value.float(), atol=1e-4, rtol=1e-3), name
    assert said[0] == said[1]
    if what == "all":  # one goes on from what two left
        schedule = Schedule(steps=2, batch=4, patch=64)
        run = train(
            "tiny", [photographs], folder=two, resume=True, schedule=schedule, hardware=Hardware(CPU)
        )
        assert run.patches == states[1]["patches"] + 8 == 44
    assert record["processes"] == 2
    assert {path.name for path in two.iterdir()} - {path.name for path in one.iterdir()} == {
        "said-0",
        "said-1",
    }


@pytest.mark.slow
def test_the_command_in_two_processes_speaks_once(photographs: Path, tmp_path: Path) -> None:
    command = ["-m", "licframe", "train", "tiny", "--data", photographs, "--minutes", "0.02"]
    done = started(2, *command, "--folder", tmp_path / "run", "--device", "cpu")
    refused = started(2, *command, "--folder", tmp_path / "odd", "--batch", "3")

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("2 processes share every step") == 1
    assert done.stdout.count("weights.safetensors: weights") == 1
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert refused.returncode != 0
    assert "2 processes cannot share 3 patches a step evenly" in refused.stderr
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_parts_have_the_noise_of_the_whole(order: torch.memory_format) -> None:
    """In the order of memory, and the random numbers that follow are the same, too."""
    like = torch.empty(6, 5, 4, 3).contiguous(memory_format=order)
    torch.manual_seed(1)
    whole, after = uniform_noise(like), torch.rand(1)
    for number in range(3):
        torch.manual_seed(1)
        with part_of_batch(number, 3):
            part = uniform_noise(like[:2])

        assert torch.equal(part, whole[2 * number : 2 * number + 2])
        assert torch.equal(torch.rand(1), after)
    assert float(whole.abs().max()) <= 0.5


class Counting:
    """A source of numbers."""

    def __init__(self, *, split: bool) -> None:
        self.split = split

    def batch(self, count: int, size: int) -> tuple[torch.Tensor, ...]:
        return torch.arange(count), torch.arange(count) + size


def test_a_batch_is_shared() -> None:
    """Or drawn by each, where the source gives each its own."""
    parts = [drawn(Counting(split=False), 6, 10, Processes(rank, 3)) for rank in range(3)]

    assert [part[0].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert [part[1].tolist() for part in parts] == [[10, 11], [12, 13], [14, 15]]
    assert drawn(Counting(split=True), 6, 10, Processes(2, 3))[0].tolist() == [0, 1]
    with pytest.raises(UsageError, match="3 processes cannot share 4 patches"):
        drawn(Counting(split=True), 4, 10, Processes(2, 3))


def test_shards_are_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    streaming = pytest.importorskip("licframe.training.streaming")
    webdataset = pytest.importorskip("webdataset")
    shards = [tmp_path / f"{k}.tar" for k in range(5)]
    for path in shards:
        path.touch()
    asked: list[list[str]] = []
    resampled = webdataset.ResampledShards
    monkeypatch.setattr(
        webdataset, "ResampledShards", lambda urls, **more: asked.append(urls) or resampled(urls, **more)
    )
    for rank in range(2):
        streaming.StreamedPhotographs(shards, workers=0, processes=Processes(rank, 2))
    monkeypatch.setenv("WORLD_SIZE", "6")
    for name, value in {"RANK": "5", "LOCAL_RANK": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)

    assert asked == [[str(shards[k]) for k in (0, 2, 4)], [str(shards[k]) for k in (1, 3)]]
    with pytest.raises(FileError, match="5 shards cannot be shared by 6 processes"):
        streaming.StreamedPhotographs(shards)


def test_torchrun_says_who_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Processes.started() == Processes() == Processes(0, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    with pytest.raises(UsageError, match="RANK is 3, WORLD_SIZE is 4, LOCAL_RANK is not set"):
        hardware_on("cpu")
    for name, value in {"LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert hardware_on("cpu", "32-true") == Hardware(CPU, processes=Processes(3, 4, 1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert hardware_on("cuda", "32-true").device == torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="more processes on this machine than it has GPUs, 1"):
        hardware_on("auto", "32-true")


@pytest.mark.parametrize(
    "command",
    [
        ("train", "tiny", "--check"),
        ("train", "tiny", "--bundle", "b"),
        ("distill", "fast", "--costs"),
        ("refit",),
    ],
    ids=lambda command: "".join(command[::2]),
)
def test_what_is_for_one_process_is_refused(
    command: tuple[str, ...], photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    done = licframe(*command, "--data", photographs, cwd=tmp_path)

    assert done.returncode == 2
    assert "is for one process; start it without torchrun" in done.stderr
