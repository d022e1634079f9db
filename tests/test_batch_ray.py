"""The engine ``ray``: what it makes is what ``local`` makes, whatever is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from licframe.batch.actors import Actors
from licframe.batch.engines import Lost, engine_named
from licframe.errors import ImageError, LicframeError, UsageError
from tests.crew import Broken, Slow, Twice
from tests.test_batch import TINY, assert_same, gone, lines, on_linux, pictures, said

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers import this checkout, and the crew of the tests."""
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def started() -> Iterator[None]:
    """Ray with two cores, as a program has it that uses it already."""
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
print(cluster.address, flush=True)
input()
cluster.shutdown()
"""


@pytest.fixture
def cluster(importable: None) -> Iterator[str]:
    """The address of a cluster, of this machine."""
    command = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        yield process.stdout.readline().strip()
        process.communicate("\n")


def command(*words: str, program: Sequence[str] = ("-m", "licframe")) -> subprocess.CompletedProcess:
    """Run a batch in a process of its own: none can be in two clusters, one after the other."""
    whole = [sys.executable, *program, "batch", *words, "--engine", "ray"]
    return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=300)


def test_a_batch_is_that_of_local(tmp_path: Path, monkeypatch, cluster: str) -> None:
    """Bytes and manifest, with a Ray of its own and in a cluster; failures and notes included."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "src", 4)
    (tmp_path / "src" / "2.png").write_text("no picture")
    Image.new("CMYK", (20, 20), (10, 20, 30, 40)).save(tmp_path / "src" / "9.tif")
    code = said("batch", "src", "local", *TINY, "--workers", "1").exit_code
    for name, more in (("own", ()), ("cluster", ("--ray-address", cluster))):
        done = command("src", name, *TINY, "--workers", "2", *more)
        assert done.returncode == code == ImageError.exit_code, done
        assert_same(name, "local")
        assert done.stdout.startswith(f"{name}: 4 done, 0 as before, 1 failed")
        assert done.stdout.count("\n") == done.stderr.count("\n") == 1
    again = command("src", "cluster", *TINY, "--json", "--ray-address", cluster)
    assert json.loads(again.stdout)["unchanged"] == 4


def test_a_worker_that_is_killed_is_replaced_and_its_task_tried_once_more(tmp_path: Path) -> None:
    found = dict(Actors(2, 1).run(Twice(tmp_path), [1, "die once", "die", 4]))
    assert found == {0: 2, 1: "die oncedie once", 2: Lost(), 3: 8}
    assert not ray.is_initialized()


def test_a_file_that_kills_its_worker_fails_and_the_others_are_done(tmp_path: Path, monkeypatch) -> None:
    """And Ray has nothing to say about that."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "src", 4)
    program = "from licframe.batch import run; from tests.crew import Deadly; run.Jobs = Deadly\n"
    program += "from licframe.cli import main; main()"
    done = command("src", "dst", *TINY, "--workers", "2", program=("-c", program))
    assert done.returncode == LicframeError.exit_code
    assert done.stdout.startswith("dst: 3 done, 0 as before, 1 failed")
    assert "1.png: its worker died twice" in done.stderr
    assert done.stdout.count("\n") == done.stderr.count("\n") == 1
    assert [name for name, line in lines("dst").items() if line["error"]] == ["sub/1.png"]


def test_what_ends_a_run(tmp_path: Path, started: None) -> None:
    with pytest.raises(UsageError, match="not like that"):
        list(Actors(1, 1).run(Twice(tmp_path), ["refuse", 1]))
    with pytest.raises(LicframeError, match="end before they begin"):
        list(Actors(1, 1).run(Broken(), [1, 2, 3, 4]))
    monkey = pytest.MonkeyPatch()
    monkey.setattr("licframe.__version__", "0.0")
    with monkey.context(), pytest.raises(UsageError, match=r"not 0\.0; all machines need the same"):
        list(Actors(1, 1).run(Twice(tmp_path), [1]))
    monkey.undo()
    assert ray.is_initialized()  # it was before


@on_linux
def test_no_actor_is_left_when_the_driver_stops_early(tmp_path: Path, started: None) -> None:
    engine = Actors(2, 1)
    with closing(engine.run(Slow(tmp_path), [0, 60, 60, 60])) as results:
        assert next(results) == (0, 0)
        end = time.monotonic() + 60
        while len(pids := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
    for _ in range(200):
        if all(map(gone, pids)):
            break
        time.sleep(0.05)
    assert all(map(gone, pids))
    assert ray.available_resources()["CPU"] == 2


def test_addresses(tmp_path: Path) -> None:
    for address, message in (
        ("here", "use auto, or host:port"),
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("auto", "the Ray cluster auto cannot be used"),
    ):
        with pytest.raises(LicframeError, match=message):
            list(engine_named("ray", 1, 1, address=address).run(Twice(tmp_path), [1]))
