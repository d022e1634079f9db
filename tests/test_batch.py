"""Batches: folders of pictures, what is recorded of them, and what is left after any end."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from licframe.batch import engines, files
from licframe.batch.coding import Compressing, Fetched, Job, Jobs, sha256_of
from licframe.batch.engines import Lost, engine_named
from licframe.batch.local import Local
from licframe.batch.manifest import NAME, Entry, Manifest
from licframe.cli.app import app
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.errors import FileError, ImageError, LicframeError, UsageError, WeightsMismatchError
from licframe.picture.images import Picture, read_picture
from licframe.runtime import machine
from tests.conftest import noise_picture
from tests.crew import Broken, Twice

TINY = ("-p", "tiny", "-q", "40")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with pictures in ``src``, and an engine that needs no process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(engines._HOMES, "here", "tests.crew:Here")
    pictures(tmp_path / "src", 2)
    noise_picture(24, 16, 9).save(tmp_path / "src" / "sub" / "deep" / "0.jpg")
    return tmp_path


def pictures(source: Path, count: int, side: int = 24) -> None:
    (source / "sub" / "deep").mkdir(parents=True)
    for number in range(count):
        noise_picture(side + number, side, number).save(
            source / ("sub" if number % 2 else "") / f"{number}.png"
        )


def said(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def batch(*words: object) -> Result:
    return said("batch", *words, "--engine", "here")


def lines(destination: Path | str) -> dict[str, dict]:
    """Return the lines of a manifest by their input, but for what no two runs have in common."""
    found = [json.loads(line) for line in Path(destination, NAME).read_text().splitlines()]
    assert len({line["input"] for line in found}) == len(found)
    return {line["input"]: {**line, "seconds": None} for line in found}


def contents(destination: Path | str) -> dict[str, bytes]:
    """Return all other files of a folder."""
    paths = [path for path in Path(destination).rglob("*") if path.is_file() and path.name != NAME]
    return {path.relative_to(destination).as_posix(): path.read_bytes() for path in paths}


def assert_same(one: str, other: str) -> None:
    """Compare two batches."""
    assert contents(one).keys() == contents(other).keys()
    assert contents(one) == contents(other)
    assert lines(one) == lines(other)


# -- what is done and recorded ----------------------------------------------------------------------


def test_a_folder_is_compressed_and_every_file_recorded(folder: Path, codec: LatentCodec) -> None:
    done = batch("src", "dst", *TINY, "--measure", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    made, recorded = contents("dst"), lines("dst")

    assert (summary["files"], summary["done"], summary["failed"]) == (3, 3, 0)
    assert sorted(made) == ["0.png.lic", "sub/1.png.lic", "sub/deep/0.jpg.lic"]
    assert recorded["sub/1.png"] == recorded["sub/1.png"] | {
        "output": "sub/1.png.lic",
        "error": None,
        "bytes": len(made["sub/1.png.lic"]),
        "width": 25,
        "height": 24,
        "bpp": 8 * len(made["sub/1.png.lic"]) / (25 * 24),
        "quality": 40,
        "lossless": False,
    }
    assert recorded["0.png"]["input_sha256"] == sha256_of(Path("src/0.png"))
    assert recorded["0.png"]["output_sha256"] == sha256_of(Path("dst/0.png.lic"))
    assert codec.version in recorded["0.png"]["codec"]
    original, shown = read_picture(Path("src/0.png")), codec.decode(made["0.png.lic"]).picture
    assert recorded["0.png"]["psnr_db"] == pytest.approx(original.psnr(shown.pixels))
    assert codec.encode(original, Target(quality=40)).data == made["0.png.lic"]


def test_back_to_pictures(folder: Path) -> None:
    assert batch("src", "dst", *TINY).exit_code == 0
    done = batch("dst", "back", "--decompress", "--to", "tiff")
    assert done.exit_code == 0, done.output

    assert sorted(contents("back")) == ["0.png.tiff", "sub/1.png.tiff", "sub/deep/0.jpg.tiff"]
    assert lines("back")["0.png.lic"]["bpp"] == lines("dst")["0.png"]["bpp"]
    assert read_picture(Path("back/sub/1.png.tiff")).size == (25, 24)
    refused = batch("dst", "back", "--decompress", "--measure", "--bpp", "1")
    assert "--decompress does not go with --bpp and --measure" in str(refused.exception)
    assert "no kind of picture" in str(batch("dst", "back", "--decompress", "--to", "lic").exception)


def test_patterns_choose(folder: Path) -> None:
    (folder / "src" / "notes.txt").write_text("no picture")
    found = ["0.png", "sub/1.png", "sub/deep/0.jpg"]
    source = folder / "src"
    assert files.found_in(source, {".png", ".jpg"}) == found
    assert files.found_in(source, set(), ["*.png"]) == found[:2]
    assert files.found_in(source, set(), ["sub/*"], ["deep/*", "*/deep/*"]) == found[1:2]
    assert files.found_in(source, {".png", ".jpg"}, beside=source / "sub") == found[:1]
    with pytest.raises(FileError, match=r"holds no file that fits \(\*\.gif\)"):
        files.found_in(source, set(), ["*.gif"])
    with pytest.raises(FileError, match="is no folder"):
        files.found_in(source / "0.png", {".png"})


def test_pictures_of_one_stem_do_not_clash_and_clashes_stop_before_anything_is_written(
    folder: Path,
) -> None:
    noise_picture(16, 16).save(folder / "src" / "0.jpg")
    assert batch("src", "dst", *TINY).exit_code == 0
    assert {"0.png.lic", "0.jpg.lic"} < contents("dst").keys()

    (folder / "dst" / "0.lic").write_bytes((folder / "dst" / "0.png.lic").read_bytes())
    clash = batch("dst", "back", "--decompress")
    assert isinstance(clash.exception, UsageError)
    assert "0.lic and 0.png.lic would both become 0.png" in str(clash.exception)
    assert not (folder / "back").exists()


def test_inputs_and_files_of_others_stay(folder: Path) -> None:
    (folder / "dst").mkdir()
    (folder / "dst" / "0.png.lic").write_text("mine")
    assert "0.png.lic exists" in str(batch("src", "dst", *TINY).exception)
    assert list(contents("dst")) == ["0.png.lic"]
    assert batch("src", "dst", *TINY, "--overwrite").exit_code == 0

    (folder / "dst" / "0.png.lic").write_text("mine again")
    done = batch("src", "dst", *TINY)
    assert done.exit_code == FileError.exit_code
    assert "this batch did not write it" in done.stderr
    assert (folder / "dst" / "0.png.lic").read_text() == "mine again"
    (folder / "dst" / "0.png.lic").unlink()
    (folder / "dst" / "0.png.lic").symlink_to(folder / "src" / "0.png")
    assert "is an input" in str(batch("src", "dst", *TINY, "--overwrite").exception)


# -- going on -----------------------------------------------------------------------------------------


def test_the_same_command_does_what_is_left(folder: Path) -> None:
    """What is there stays; what has changed, failed or is gone is done, and only that."""
    (folder / "src" / "bad.png").write_text("no picture")
    first = batch("src", "dst", *TINY)
    assert first.exit_code == ImageError.exit_code
    assert "3 done, 0 as before, 1 failed" in first.stdout
    assert "bad.png is not a picture" in first.stderr
    assert "is not a picture" in lines("dst")["bad.png"]["error"]
    before = {name: (folder / "dst" / name).stat().st_mtime_ns for name in contents("dst")}

    noise_picture(40, 30, 5).save(folder / "src" / "bad.png")
    noise_picture(41, 30, 6).save(folder / "src" / "0.png")
    (folder / "dst" / "sub" / "1.png.lic").unlink()
    again = batch("src", "dst", *TINY)
    assert again.exit_code == 0, again.output
    assert "3 done, 1 as before, 0 failed" in again.stdout
    after = {name: (folder / "dst" / name).stat().st_mtime_ns for name in contents("dst")}
    assert [name for name in before if before[name] == after[name]] == ["sub/deep/0.jpg.lic"]
    assert batch("src", "fresh", *TINY).exit_code == 0
    assert_same("dst", "fresh")


def test_an_output_is_known_also_after_a_failure(folder: Path) -> None:
    assert batch("src", "dst", *TINY).exit_code == 0
    (folder / "src" / "0.png").write_text("no picture")
    assert batch("src", "dst", *TINY).exit_code == ImageError.exit_code
    noise_picture(41, 30, 6).save(folder / "src" / "0.png")
    assert batch("src", "dst", *TINY).exit_code == 0
    assert lines("dst")["0.png"]["width"] == 41


def test_other_settings_are_refused_with_a_way_out(folder: Path) -> None:
    assert batch("src", "dst", *TINY).exit_code == 0
    before = contents("dst")
    refused = batch("src", "dst", "-p", "tiny", "-q", "30")
    assert isinstance(refused.exception, UsageError)
    assert "target {'quality': 40}, now {'quality': 30}" in str(refused.exception)
    assert contents("dst") == before
    other = str(batch("src", "dst", *TINY, "--set", "picture_filter.plugin=none").exception)
    assert "profile_sha256" in other
    assert batch("src", "dst", "-p", "tiny", "-q", "30", "--overwrite").exit_code == 0
    assert {line["quality"] for line in lines("dst").values()} == {30}


def test_a_torn_line_is_left_out(folder: Path) -> None:
    assert batch("src", "dst", *TINY).exit_code == 0
    whole = lines("dst")
    manifest = folder / "dst" / NAME
    manifest.write_bytes(manifest.read_bytes()[:-40])
    again = batch("src", "dst", *TINY)
    assert "1 done, 2 as before" in again.stdout
    assert lines("dst") == whole

    manifest.write_text("dear diary\n")
    assert "line 1 of" in str(batch("src", "dst", *TINY).exception)


def test_what_a_killed_writer_left_is_removed(folder: Path) -> None:
    (folder / "dst").mkdir()
    (folder / "dst" / ".0.png.lic.123-456.partial").write_text("half")
    (folder / "dst" / ".theirs.123-456.partial").write_text("half")
    assert batch("src", "dst", *TINY).exit_code == 0
    assert [name for name in contents("dst") if name.endswith(".partial")] == [".theirs.123-456.partial"]


def test_only_one_batch_writes_a_manifest(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Manifest(tmp_path / NAME), pytest.raises(FileError, match="another batch writes"):
        Manifest(tmp_path / NAME)
    with Manifest(tmp_path / NAME) as manifest:
        assert manifest.entries == {}


# -- what goes wrong ----------------------------------------------------------------------------------


def test_a_full_disk_ends_the_batch_which_goes_on_later(folder: Path) -> None:
    write, room = Path.write_bytes, [1]

    def limited(path: Path, data: bytes) -> int:
        if path.suffix == ".partial" and not room:
            write(path, data[:5])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room.pop()
        return write(path, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", limited)
        full = batch("src", "dst", *TINY)
    assert isinstance(full.exception, FileError)
    assert "No space left on device; 1 of 3 files are done; make room" in str(full.exception)
    assert list(contents("dst")) == ["0.png.lic"]
    assert list(lines("dst")) == ["0.png"]
    assert "2 done, 1 as before" in batch("src", "dst", *TINY).stdout


def test_a_manifest_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    class Full:
        """A file that takes half of what it is given."""

        def __init__(self, file) -> None:
            self.file, self.taken = file, False

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def write(self, data: bytes) -> int:
            if self.taken:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.taken = True
            return self.file.write(data[: len(data) // 2])

    with Manifest(tmp_path / NAME) as manifest:
        manifest.append(Entry(input="a", output="b"))
        before = manifest.path.read_bytes()
        manifest._file = Full(manifest._file)
        with pytest.raises(FileError, match="No space left"):
            manifest.append(Entry(input="c", output="d"))
        assert manifest.path.read_bytes() == before


def test_a_fault_in_one_file_is_none_in_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Compressing.picture

    def odd(coder: Compressing, source: bytes, where: str = "") -> Picture:
        if where.endswith("0.jpg"):
            raise ZeroDivisionError("oh")
        return plain(coder, source, where)

    monkeypatch.setattr(Compressing, "picture", odd)
    done = batch("src", "dst", *TINY)
    assert done.exit_code == LicframeError.exit_code
    assert "0.jpg: unexpected ZeroDivisionError: oh" in done.stderr
    assert len(contents("dst")) == 2


def test_what_holds_for_all_files_ends_the_batch(folder: Path) -> None:
    assert "weights" in str(batch("src", "dst", *TINY, "--set", "weights.file=none.safetensors").exception)
    assert "jpeg" in str(batch("src", "dst", "--set", "codec.plugin=jpeg").exception)
    assert 'no engine "none"' in str(said("batch", "src", "dst", *TINY, "--engine", "none").exception)
    assert contents("dst") == {}


# -- workers ------------------------------------------------------------------------------------------


def test_there_are_as_many_workers_as_there_is_room_for(tmp_path: Path, monkeypatch) -> None:
    assert Local(None, 2**60).workers == 1
    assert Local(None, 1).workers == machine.cores()
    assert Local(5, 2**60).workers == 5
    with pytest.raises(UsageError, match="use 1 or more"):
        engine_named("local", 0, 1)
    for name, text in (("memory.max", "1000"), ("memory.current", "400")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_GROUP", tmp_path)
    assert machine.free_memory() == 600
    (tmp_path / "memory.max").write_text("max")
    assert machine.free_memory() > 600


def test_a_worker_that_dies_is_replaced_and_its_task_tried_once_more(tmp_path: Path) -> None:
    found = dict(Local(2, 1).run(Twice(tmp_path), [1, "die once", "die", 4]))
    assert found == {0: 2, 1: "die oncedie once", 2: Lost(), 3: 8}


def test_workers_elsewhere_need_no_files(folder: Path) -> None:
    jobs = [Job(Path("src", name), name, Path("dst")) for name in ("0.png", "none.png")]
    found, missing = Fetched(jobs)
    Path("src/0.png").unlink()
    work = Jobs(Compressing(profile="tiny", target=Target(quality=40)))
    assert work(found).coded.width == 24
    assert isinstance(work(missing).error, FileError)
    other = str(said("batch", "src", "dst", "--ray-address", "auto").exception)
    assert "--ray-address is for --engine ray" in other


def test_what_work_raises_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not like that"):
        list(Local(1, 1).run(Twice(tmp_path), ["refuse", 1]))


def test_workers_that_never_begin_are_an_error() -> None:
    with pytest.raises(LicframeError, match=r"end before they begin \(exit code 7\)"):
        list(Local(1, 1).run(Broken(), [1, 2, 3, 4]))


@pytest.mark.slow
def test_compress_has_workers_too(tmp_path: Path, monkeypatch) -> None:
    """Files, messages and their order are those of one process."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "src", 4)
    (tmp_path / "src" / "2.png").write_text("no picture")  # and a picture with a note:
    Image.new("CMYK", (20, 20), (10, 20, 30, 40)).save(tmp_path / "src" / "9.tif")
    names = sorted(str(path) for path in (tmp_path / "src").rglob("*.*"))
    told = []
    for workers in (1, 2):
        more = ("-o", "out/", "--workers", str(workers))
        done = subprocess.run(
            [sys.executable, "-m", "licframe", "compress", *names, *TINY, *more],
            capture_output=True,
            text=True,
            check=False,
        )
        without_seconds = re.sub(r"\d+\.\d\d s", "", done.stdout)
        told.append((done.returncode, without_seconds, done.stderr, contents("out")))
        for path in Path("out").iterdir():
            path.unlink()
    assert told[0] == told[1]
    assert told[0][0] == ImageError.exit_code
    assert len(told[0][3]) == 4
    wrong = ("--workers", 2, "--set", "weights.file=none.safetensors")
    refused = said("compress", names[0], names[2], *TINY, *wrong, "-o", "other/")
    assert isinstance(refused.exception, WeightsMismatchError)


# -- whatever is killed -------------------------------------------------------------------------------


@pytest.fixture
def undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures, compressed without a disturbance into ``fresh``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(engines._HOMES, "here", "tests.crew:Here")
    pictures(tmp_path / "src", 13, side=200)
    noise_picture(1600, 1200, 99).save(
        tmp_path / "src" / "z.png"
    )  # it takes as long as a busy machine looks away
    assert batch("src", "fresh", *TINY).exit_code == 0
    return tmp_path


def begun(*words: str) -> subprocess.Popen:
    """Start a batch in processes of its own, and wait until it has recorded something."""
    driver = subprocess.Popen(
        [sys.executable, "-m", "licframe", "batch", "src", "dst", *TINY, "--workers", "2", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # what a shell starts in the background ignores interrupts, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    end = time.monotonic() + 300
    while not (Path("dst", NAME).exists() and Path("dst", NAME).read_bytes().count(b"\n") >= 2):
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
    return driver


def workers_of(driver: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


on_linux = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="needs /proc to find the workers"
)


@pytest.mark.slow
@on_linux
def test_a_batch_whose_driver_is_killed_goes_on(undisturbed: Path) -> None:
    driver = begun()
    workers = workers_of(driver)
    driver.kill()
    driver.communicate()
    done = len(contents("dst"))
    for _ in range(200):
        if all(map(gone, workers)):
            break
        time.sleep(0.05)
    assert len(workers) == 2
    assert all(map(gone, workers))
    assert 1 <= done < 14

    again = said("batch", "src", "dst", *TINY, "--workers", "1", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["unchanged"] >= done - 1
    assert_same("dst", "fresh")


@pytest.mark.slow
@on_linux
def test_a_batch_goes_on_without_a_worker_that_is_killed(undisturbed: Path) -> None:
    driver = begun()
    os.kill(workers_of(driver)[0], signal.SIGKILL)
    out, err = driver.communicate(timeout=300)

    assert driver.returncode == 0, err
    assert "Traceback" not in err
    assert "14 done, 0 as before, 0 failed" in out
    assert_same("dst", "fresh")


@pytest.mark.slow
def test_an_interrupt_ends_a_batch_cleanly(undisturbed: Path) -> None:
    driver = begun()
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
    _, err = driver.communicate(timeout=300)

    assert driver.returncode == 130
    assert "the same command goes on" in err
    assert "Traceback" not in err
    assert batch("src", "dst", *TINY).exit_code == 0
    assert_same("dst", "fresh")
