"""The command line: what a user types, sees and gets."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import typer
from PIL import Image
from safetensors.numpy import load_file

from licframe import cli
from licframe.evaluation.metrics import psnr
from licframe.picture.images import Picture, read_picture
from licframe.profile.weights import read_metadata
from licframe.testing import exactness

GOLDEN = Path(__file__).parent / "golden"
SMALL = exactness.sample_images(1, 64)
PLAIN = {"COLUMNS": "200", "NO_COLOR": "1"}


def licframe(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process: what the program does after it has started."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("default")
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["licframe", *map(str, args)])
        for name, value in PLAIN.items():
            patch.setenv(name, value)
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    said = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(args, code, *said)


def process(*args: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "licframe", *map(str, args)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **PLAIN, **env},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, picture: Picture) -> Path:
    """A folder with a picture and its .lic file."""
    path = tmp_path_factory.mktemp("cli")
    picture.save(path / "a.png")
    done = licframe("compress", "a.png", "-p", "tiny", "-q", "70", cwd=path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.slow
def test_each_command_in_a_fresh_process(tmp_path: Path, picture: Picture) -> None:
    picture.save(tmp_path / "a.png")
    for words in (("compress", "a.png", "-p", "tiny", "-q", "70"), ("decompress", "a.lic", "-o", "b.png")):
        done = process(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert psnr(read_picture(tmp_path / "b.png").pixels, picture.pixels) > 15


def test_several_pictures_into_a_folder(folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "c.png")
    done = licframe("compress", "a.png", "c.png", "-p", "tiny", "-o", "many", "--json", cwd=folder)

    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [Path(r["file"]).name for r in records] == ["a.lic", "c.lic"]
    assert all((folder / r["file"]).stat().st_size == r["bytes"] for r in records)


def test_nothing_is_overwritten_unasked(folder: Path, tmp_path: Path) -> None:
    for name in ("a.lic", "a.png"):
        shutil.copy(folder / name, tmp_path / name)
    shutil.copy(folder / "a.png", tmp_path / "a.tiff")
    original = (tmp_path / "a.png").read_bytes()
    done = licframe("decompress", "a.lic", cwd=tmp_path)

    assert done.returncode == 10
    assert "a.png exists" in done.stderr
    assert (tmp_path / "a.png").read_bytes() == original
    assert "would become" in licframe("compress", "a.png", "a.tiff", cwd=tmp_path).stderr
    assert "give a folder" in licframe("compress", "a.png", "a.tiff", "-o", "b.lic", cwd=tmp_path).stderr
    assert licframe("decompress", "a.lic", "--overwrite", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.png").read_bytes() != original


def test_a_damaged_picture_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "b.gif")
    (tmp_path / "b.gif").write_bytes(
        (tmp_path / "b.gif").read_bytes()[:-1] + b",\0\0"
    )  # a second frame begins
    shutil.copy(folder / "a.png", tmp_path / "c.png")
    done = licframe("compress", "b.gif", "c.png", "-p", "tiny", cwd=tmp_path)

    assert done.returncode == 8
    assert done.stderr.startswith("licframe: cannot read b.gif")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "c.lic").exists()


def test_quiet_keeps_warnings_of_others_off_the_terminal(folder: Path, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x010F] = "a maker with a long name"
    data = bytearray(tags.tobytes())
    data[20] = 255  # the text lies beyond the end
    Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", exif=bytes(data))
    said = licframe("compress", "a.jpg", "-p", "tiny", cwd=tmp_path)
    quiet = licframe("compress", "a.jpg", "-p", "tiny", "--quiet", "--overwrite", cwd=tmp_path)

    assert said.stderr.count("licframe: note:") == len(said.stderr.splitlines()) == 1
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_decompressing_with_loss_is_said_unless_asked_for(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "a.lic", tmp_path / "a.lic")
    said = licframe("decompress", "a.lic", "-o", "a.jpg", cwd=tmp_path)
    asked = licframe("decompress", "a.lic", "-o", "b.jpg", "-q", "50", cwd=tmp_path)

    assert "note: a.jpg loses a little, as JPEG of quality 95; a .png keeps everything" in said.stderr
    assert (asked.returncode, asked.stderr) == (0, "")
    assert (tmp_path / "b.jpg").stat().st_size < (tmp_path / "a.jpg").stat().st_size
    assert licframe("decompress", "a.lic", "-o", "a.png", "-q", "50", cwd=tmp_path).returncode == 2


def test_sixteen_bits_are_reduced_when_asked(folder: Path, tmp_path: Path) -> None:
    Picture(SMALL[0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    assert licframe("compress", "a.png", "-p", "tiny", cwd=tmp_path).returncode == 0
    refused = licframe("decompress", "a.lic", "-o", "a.jpg", cwd=tmp_path)
    done = licframe("decompress", "a.lic", "-o", "a.jpg", "--depth", "8", cwd=tmp_path)

    assert refused.returncode == 8
    assert "--depth 8" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert licframe("decompress", "a.lic", "--depth", "9", cwd=tmp_path).returncode == 2


@pytest.mark.slow
def test_run_measures_the_sample_picture(tmp_path: Path) -> None:
    done = licframe("run", "tiny", "-q", "30", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["bytes"] == (tmp_path / "licframe-out" / "alpine_lake.lic").stat().st_size
    assert result["bpp"] == pytest.approx(8 * result["bytes"] / (768 * 512))
    decoded = read_picture(tmp_path / "licframe-out" / "alpine_lake.decoded.png").pixels
    original = read_picture(Path(result["image"])).pixels
    assert psnr(decoded, original) == pytest.approx(result["psnr_db"])
    side = read_picture(tmp_path / "licframe-out" / "alpine_lake.comparison.png")
    assert side.size == (3 * 768 + 16, 512)


def test_run_takes_a_profile_file_and_overrides(folder: Path) -> None:
    (folder / "mine.toml").write_text('extends = "tiny"\nsummary = "mine"\n')
    done = licframe("run", "mine.toml", "a.png", "--set", "refiner.plugin=none", "--bpp", "0.9", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert "licframe mine" in done.stdout
    assert "bits per pixel" in done.stdout


def test_info_needs_no_torch(folder: Path) -> None:
    done = licframe("info", "a.lic", "--json", cwd=folder)
    (record,) = json.loads(done.stdout)

    assert record["profile"] == "tiny"
    assert record["parts"] == ["residual 1", "msp 1", "gaussian 1"]
    assert record["bytes"] == (folder / "a.lic").stat().st_size
    assert "quality" in licframe("info", "a.lic", cwd=folder).stdout


@pytest.mark.parametrize("args", [["--help"], ["plugins"], ["info", "a.lic"], ["profiles"], ["--version"]])
def test_light_commands_do_not_import_torch(folder: Path, args: list[str]) -> None:
    code = (
        "import sys, licframe.cli; sys.argv = ['licframe', *sys.argv[1:]]\n"
        "try: licframe.cli.main()\n"
        "except SystemExit as e: assert not e.code\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=folder, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """And lists all that there are."""
    from licframe.cli.app import COMMANDS

    for name, (module, line) in COMMANDS.items():
        command = getattr(importlib.import_module(f"licframe.cli.{module}"), name.replace("-", "_"))
        said = command.info.help if name == "bench" else inspect.getdoc(command).splitlines()[0]
        assert line == said, name


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command, and every one of ``bench``, with its name."""
    from licframe.cli.app import COMMANDS, app

    group = typer.main.get_command(app)
    for name in COMMANDS:
        command = group.get_command(None, name)
        yield name, command
        yield from ((f"{name} {inner}", one) for inner, one in getattr(command, "commands", {}).items())


def test_first_lines_of_help_fit_beside_their_command() -> None:
    for name, command in commands():
        assert len(command.help.splitlines()[0]) < 60, name
        assert [param.name for param in command.params if not param.help] == [], name


def test_every_help_has_an_example_that_names_its_command() -> None:
    for name, command in commands():
        if name != "bench":
            assert f"Example: licframe {name} " in command.help, name


def test_groups_of_options_name_options_that_are_there() -> None:
    benched = set()
    for name, command in commands():
        options = {option for param in command.params for option in param.opts}
        grouped = {option for group in getattr(command, "groups", {}).values() for option in group}
        if name.startswith("bench "):  # one table for all of them
            benched |= options
            assert options - grouped <= {option for option in options if not option.startswith("--")} | {
                "-q",
                "-o",
            }
        else:
            assert grouped <= options, name
    assert {
        option for _, one in commands() for g in getattr(one, "groups", {}).values() for option in g
    } >= {"--data"}


def test_help_shows_options_in_groups(folder: Path) -> None:
    said = licframe("train", "--help", cwd=folder).stdout

    for title in ("Arguments:", "Steps:", "Machine:", "Options:"):
        assert f"\n{title}\n" in said
    assert said.index("Steps:") < said.index("--batch") < said.index("Machine:") < said.index("--bundle")
    assert "Example: licframe train tiny" in said


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_imports_no_command(tmp_path: Path, args: list[str]) -> None:
    code = (
        "import sys, licframe.cli; sys.argv = ['licframe', *sys.argv[1:]]\n"
        "try: licframe.cli.main()\n"
        "except SystemExit as e: assert not e.code\n"
        "print([m for m in sys.modules if m in ('attrs', 'cattrs', 'entrypoints', 'pluggy', 'rich.console')\n"
        "       or (m.startswith('licframe.') and m not in ('licframe.cli', 'licframe.cli.app', 'licframe.errors',\n"
        "       'licframe.runtime', 'licframe.runtime.malloc'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_plugins_lists_parts_and_failures(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lic_broken.py").write_text("import nothing_here")
    info = tmp_path / "lic_broken-0.1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[licframe]\nlic_broken = lic_broken\n")
    done = process("plugins", cwd=folder, PYTHONPATH=str(tmp_path))

    assert done.returncode == 0
    assert "msp" in done.stdout
    assert "failed to load: lic_broken" in done.stdout
    parts = json.loads(licframe("plugins", "--json", cwd=folder).stdout)["parts"]
    assert {p["kind"] for p in parts} == {
        "transform",
        "context_scheduler",
        "entropy_model",
        "refiner",
        "picture_filter",
        "codec",
    }


def test_profiles_prints_the_resolved_form(folder: Path) -> None:
    done = licframe("profiles", "max_quality", "--set", "training.batch=3", cwd=folder)

    assert 'plugin = "residual"' in done.stdout
    assert "batch = 3" in done.stdout
    listed = {r["name"]: r for r in json.loads(licframe("profiles", "--json", cwd=folder).stdout)}
    assert listed["balanced"]["weights"] != "missing"
    assert listed["balanced"]["serial_passes"] == 25


BAD = {
    "empty.lic": (b"", "empty"),
    "renamed.lic": (b"\x89PNG\r\n\x1a\n" + bytes(64), "not a .lic file"),
    "text.lic": (b"dear diary", "not a .lic file"),
    "cut.lic": ((GOLDEN / "rgb-q50.lic").read_bytes()[:-7], "damaged"),
    "flipped.lic": (
        (GOLDEN / "rgb-q50.lic").read_bytes()[:300] + b"!" + (GOLDEN / "rgb-q50.lic").read_bytes()[301:],
        "damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", ["decompress", "info"])
def test_bad_files_give_one_line_and_leave_nothing(tmp_path: Path, name: str, command: str) -> None:
    data, said = BAD[name]
    (tmp_path / name).write_bytes(data)
    done = licframe(command, name, cwd=tmp_path)

    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert name in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["compress", "none.png"], 10, "no file none.png"),
        (["compress", "text.png"], 8, "not a picture"),
        (["compress", "zero.png"], 8, "not a picture"),
        (["compress", "float.tiff"], 8, "mode F"),
        (["compress", "grey.png", "-q", "101"], 2, "quality is 101"),
        (["compress", "grey.png", "-q", "10", "--bpp", "1"], 2, "one of quality"),
        (["compress", "grey.png", "-p", "tiny", "--size", "3"], 7, "at quality 0"),
        (["compress", "grey.png", "-p", "none"], 3, "no profile"),
        (["compress", "grey.png", "--set", "transform.plugin=residuall"], 3, 'did you mean "residual"'),
        (["compress", "grey.png", "--set", "weights.file=none.safetensors"], 5, "cannot read weights"),
        (["compress", "grey.png", "-p", "tiny", "--limit", "pixels=3"], 7, "--limit pixels=64"),
        (["compress", "grey.png", "-p", "tiny", "-o", "grey.png/x.lic"], 10, "cannot"),
        (["decompress", "none.lic"], 10, "cannot read none.lic"),
        (["run", "profiles/none.toml"], 3, "no profile"),
        (["train", "tiny", "--data", "nothing"], 10, "no training data"),
    ],
)
def test_mistakes_give_one_line(tmp_path: Path, args: list[str], code: int, said: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "zero.png").write_bytes(b"")
    Image.new("F", (8, 8)).save(tmp_path / "float.tiff")
    Image.new("L", (8, 8)).save(tmp_path / "grey.png")
    before = sorted(tmp_path.iterdir())
    done = licframe(*args, cwd=tmp_path)

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_missing_weights_are_named(folder: Path, tmp_path: Path) -> None:
    from licframe.bitstream import container

    file = container.read((folder / "a.lic").read_bytes())
    import attrs

    header = attrs.evolve(file.header, fingerprint=b"nobody", profile="theirs")
    (tmp_path / "a.lic").write_bytes(container.write(container.File(header, file.payloads)))
    done = licframe("decompress", "a.lic", cwd=tmp_path)

    assert done.returncode == 5
    assert 'profile "theirs"' in done.stderr
    assert "--profile" in done.stderr


@pytest.mark.slow
def test_train_check_and_leg(tmp_path: Path) -> None:
    """A leg of a few seconds writes weights that code."""
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    for k in range(3):
        base = np.asarray(
            Image.fromarray(rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)).resize((192, 192))
        )
        Image.fromarray(base).save(data / f"{k}.png")
    done = licframe("train", "tiny", "--data", data, "--check", "--batch", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "patches/s" in done.stdout

    done = licframe("train", "tiny", "--data", data, "--minutes", "0.05", "--batch", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "tiny"
    assert {
        "checkpoint.pt",
        "weights.safetensors",
        "undecayed.safetensors",
        "summary.md",
        "profile.toml",
    } <= {p.name for p in run.iterdir()}
    listing = (run / "data.sha256").read_text()
    assert listing == "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(data.iterdir())
    )
    said = read_metadata(run / "weights.safetensors")["training"]
    assert said["data"] == hashlib.sha256(listing.encode()).hexdigest()
    assert (said["pictures"], said["seed"], said["schedule"]["batch"]) == (3, 0, 2)
    done = licframe("run", run / "profile.toml", data / "0.png", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = licframe(
        "train", "tiny", "--data", data, "--minutes", "0.02", "--batch", "2", "--resume", cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr
    done = licframe("train", "tiny", "--data", data, "--minutes", "0.02", cwd=tmp_path)
    assert done.returncode == 10
    assert "--overwrite" in done.stderr
    done = licframe("train", "tiny", "--data", data, "--bundle", "leg", "--fit", "context", cwd=tmp_path)
    assert done.returncode == 2
    assert "carries no --fit" in done.stderr
    before = (
        (run / "checkpoint.pt").stat().st_size,
        read_metadata(run / "undecayed.safetensors")["training"],
    )
    again = licframe("train", "tiny", "--data", data, "--decay-only", "0.02", "--batch", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    after = (run / "checkpoint.pt").stat().st_size, read_metadata(run / "undecayed.safetensors")["training"]
    assert after[1]["patches"] == before[1]["patches"]
    assert read_metadata(run / "weights.safetensors")["training"]["patches"] > after[1]["patches"]
    larger = ("--crop", "128", "--crop-share", "0.5", "--folder", "crops")
    done = licframe(
        "train", "tiny", "--data", data, "--minutes", "0.03", "--batch", "2", *larger, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "| crops | 128 pixels in the last 50% |" in (tmp_path / "crops" / "summary.md").read_text()

    # a context fitted to the shipped trunk, then moved to the one just trained
    laplace = ("train", "tiny", "--set", "entropy_model.plugin=laplace", "--fit", "context", "--data", data)
    short = ("--minutes", "0.02", "--batch", "2", "--latents", "8")
    done = licframe(*laplace, *short, "--folder", "old", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trunk = run / "weights.safetensors"
    done = licframe(
        *laplace,
        *short,
        "--folder",
        run,
        "--start",
        trunk,
        "--context",
        "old/weights.safetensors",
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert "would overwrite" in done.stderr
    done = licframe(
        *laplace,
        *short,
        "--folder",
        "new",
        "--start",
        trunk,
        "--context",
        "old/weights.safetensors",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "starting from the context of weights.safetensors" in done.stdout
    fitted = read_metadata(tmp_path / "new" / "weights.safetensors")["training"]
    assert fitted["start"] == read_metadata(trunk)["fingerprint"]
    assert fitted["context"] == read_metadata(tmp_path / "old" / "weights.safetensors")["fingerprint"]

    # a transform of its own, with the shipped context
    done = licframe(
        "train", "tiny", "--fit", "transform", "--data", data, *short[:4], "--folder", "own", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    kept = {name.split(".")[0] for name in load_file(tmp_path / "own" / "weights.safetensors")}
    assert kept == {"transform", "gains", "gain_table", "inverse_table", "units"}
    done = licframe("run", "own/profile.toml", data / "0.png", "--overwrite", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = licframe(
        *laplace[:4], "--fit", "transform", "--data", data, *short[:4], "--folder", "no", cwd=tmp_path
    )
    assert done.returncode == 5
    assert "belong to other parts" in done.stderr


@pytest.mark.slow
def test_a_decoder_is_trained_along_with_its_trunk(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    noise = Image.effect_noise((96, 96), 60).resize((192, 192)).convert("RGB")
    noise.save(tmp_path / "photos" / "a.png")
    sizes = "channels = 48\nmerged = 64\nwidths = [8, 16, 16]\nanalysis = [0, 0, 0]\nsynthesis_widths = [8, 8, 0]"
    (tmp_path / "small.toml").write_text(
        f'extends = "tiny"\n[transform]\nplugin = "distilled"\n{sizes}\n[context_scheduler]\nplugin = "msp"\n'
    )
    # on a busy machine a second takes too few steps for every part to change
    leg = ("train", "tiny", "--data", "photos", "--minutes", "0.15", "--folder", "run")
    for begin in ((), ("--resume",)):
        done = licframe(*leg, "--joint-decoder", "small.toml", *begin, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        kept = load_file(tmp_path / "run" / "weights+small.safetensors")
        assert all(name.startswith("transform.synthesis") for name in kept)
        assert {name.split(".")[1] for name in kept} == {"synthesis_blocks", "synthesis_linear"}
    done = licframe("compress", "photos/a.png", "-p", "run/profile.toml", "-o", "a.lic", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    small = ("-p", "run/profile.toml", "--decoder", "distilled", "-o", "small.png")
    done = licframe("decompress", "a.lic", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    licframe("decompress", "a.lic", "-p", "run/profile.toml", "-o", "whole.png", cwd=tmp_path)
    one, two = (np.asarray(Image.open(tmp_path / f"{n}.png"), float) for n in ("small", "whole"))
    assert 0 < np.square(one - two).mean() < np.square(two - np.asarray(noise)).mean()

    wrong = ("--joint-decoder", "small.toml", "--set", "transform.merged=96", "--folder", "other")
    done = licframe(*leg[:6], *wrong, cwd=tmp_path)
    assert done.returncode == 2
    assert "must differ in the decoder alone" in done.stderr
    done = licframe(*leg, "--joint-decoder", "small.toml", "--fit", "context", cwd=tmp_path)
    assert done.returncode == 2
    assert "leave out --fit" in done.stderr


@pytest.mark.slow
def test_distil_and_begin_from_what_was_distilled(tmp_path: Path) -> None:
    Image.effect_noise((96, 96), 60).resize((192, 192)).convert("RGB").save(tmp_path / "a.png")
    sizes = ("channels=48", "merged=64", "widths=[8,16,16]", "analysis=[0,0,0]", "synthesis_widths=[8,8,0]")
    settings = [x for o in ("plugin=distilled", *sizes) for x in ("--set", f"transform.{o}")]
    leg = ("distill", "tiny", *settings, "--teacher", "tiny", "--data", tmp_path)
    leg = (*leg, "--minutes", "0.02", "--latents", "8")
    made = tmp_path / "one" / "weights.safetensors"
    done = licframe(*leg, "--folder", "one", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    done = licframe("run", "one/profile.toml", "a.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    done = licframe(*leg, "--folder", "two", "--start", made, "--rate", "1e-9", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    begun, old = (load_file(path) for path in (tmp_path / "two" / "weights.safetensors", made))
    assert begun.keys() == old.keys()
    assert all(np.allclose(begun[name], old[name], atol=1e-3) for name in old)

    done = licframe(*leg, "--folder", "one", "--start", made, cwd=tmp_path)
    assert done.returncode == 2
    assert "would overwrite" in done.stderr
    wider = ("--set", "transform.synthesis_widths=[12,8,0]")
    done = licframe(*leg, *wider, "--folder", "no", "--start", made, cwd=tmp_path)
    assert done.returncode == 5
    assert "another decoder" in done.stderr


@pytest.mark.slow
def test_doctor_is_happy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All profiles; on one picture, smaller than those that a user waits for."""
    monkeypatch.setattr(exactness, "sample_images", lambda *_: SMALL)
    done = licframe("doctor", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)

    assert done.returncode == 0, report
    assert report["healthy"]
    assert any(check["name"] == "exactness tiny" for check in report["checks"])


def test_tables_keep_to_columns_where_it_is_set(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from licframe.cli.options import print_table

    def widest() -> int:
        print_table("t", ["name", "text"], [["a", "word " * 40]])
        return max(map(len, capsys.readouterr().out.splitlines()))

    monkeypatch.delenv("COLUMNS", raising=False)
    free = widest()
    monkeypatch.setenv("COLUMNS", "50")

    assert free > 200
    assert widest() <= 50


def test_a_run_on_latents_logs_no_psnr(capsys) -> None:
    from licframe.cli.train import ShowProgress
    from licframe.training import LogLine

    line = LogLine(25, 200, 1.5, 0.5, (None,) * 4, None, 10.0, None, 0.25, 0)
    with ShowProgress(8) as show:
        show.line(line)
        show.line(attrs.evolve(line, psnr_by_quality=(None, 30.0, None, None)))

    assert capsys.readouterr().out.splitlines() == [
        "step 25 loss 1.5000 bpp 0.500 10.0 patches/s, 6.0 min left",
        "step 25 loss 1.5000 bpp 0.500 PSNR - 30.0 - - dB 10.0 patches/s, 6.0 min left",
    ]
