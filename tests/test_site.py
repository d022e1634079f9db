"""The site: every block of code and every command in it is run, and it builds without a warning."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import pytest

from licframe.cli.app import COMMANDS
from licframe.errors import LicframeError
from licframe.picture.images import Picture, read_picture
from licframe.profile import profile
from licframe.profile.weights import read_metadata
from licframe.registry.discovery import KINDS, registry
from licframe.runtime.extras import EXTRAS
from licframe.testing import exactness
from tests.test_cli import SMALL, licframe
from tests.test_docs import ROOT, tool
from tests.test_starter import installed

DOCS = ROOT / "docs"
CORNERS = ("tutorials", "howto", "reference", "explanation")
PAGES = [DOCS / "index.md", *(page for corner in CORNERS for page in sorted((DOCS / corner).glob("*.md")))]
QUICK = ("exactness", "quality", "checkerboard", "life", "msp", "conformance", "hooks")
"""Pages whose blocks take no seconds."""
_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHORTER = (
    (r"--minutes \S+", "--minutes 0.02"),
    (r"refiner\.seconds=\d+", "refiner.seconds=0.5"),
    (r"--costs", "--costs --limit 2"),
    (r"^licframe distill", "licframe distill --latents 8"),
)
_SHELL = set("|<>")
MAGICK = shutil.which("magick") or shutil.which("convert")
"""ImageMagick 7 or 6, where there is one; elsewhere lines with it are left out."""
RAY = importlib.util.find_spec("ray") is not None


def with_blocks(page: Path) -> list[tuple[str, str, str]]:
    """Return language, title and text of a page's blocks."""
    return [(m[1], m[2] or "", m[3]) for m in _BLOCK.finditer(page.read_text())]


def pages() -> Iterator[Any]:
    for page in PAGES:
        if any(language in ("sh", "python") for language, *_ in with_blocks(page)):
            marks = [] if page.stem in QUICK else [pytest.mark.slow]
            yield pytest.param(page, id=str(page.relative_to(DOCS).with_suffix("")), marks=marks)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Where pages are run: photographs, and what a clone of the repository has."""
    from licframe.evaluation.datasets import sample_picture

    sample = read_picture(sample_picture())
    (tmp_path / "photographs").mkdir()
    for name, (y, x) in {"one": (200, 10), "two": (220, 300), "three": (120, 450)}.items():
        Picture(sample.pixels[y : y + 272, x : x + 272]).save(tmp_path / "photographs" / f"{name}.png")
    Picture(sample.pixels[150:350, 100:340]).save(tmp_path / "photo.png")
    for name in ("profiles", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Shell:
    """Runs the commands of a page: in this process as long as that will do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: list[str] = []

    def run(self, text: str) -> None:
        for line in text.replace("\\\n", " ").splitlines():
            command = line.partition("  #")[0].strip()
            if command:
                self.one(command)

    def one(self, command: str) -> None:
        for pattern, shorter in _SHORTER:
            command = re.sub(pattern, shorter, command)
        if not there_is_a_gpu():
            command = command.replace("--device cuda", "--device cpu")
        if ("magick " in command and MAGICK is None) or ("--engine ray" in command and not RAY):
            return
        command = command.replace("magick ", f"{MAGICK} ")
        words = shlex.split(command)
        if words[0] == "torchrun":  # with as many GPUs as it takes it would run on them
            command = command.replace("--device cuda", "--device cpu")
        if words[:2] == ["pip", "install"]:
            self.install(words[-1])
        elif words[0] == "licframe" and not _SHELL & set(command) and not self.packages:
            found = [
                str(p)
                for word in words[1:]
                for p in (
                    sorted(self.folder.glob(word)) if "*" in word and f"'{word}'" not in command else [word]
                )
            ]
            names = [
                os.path.relpath(name, self.folder) if Path(name).is_absolute() else name for name in found
            ]
            with of_tiny() if words[1] == "doctor" else nullcontext():
                done = licframe(*names, cwd=self.folder)
            assert done.returncode == 0, (command, done.stderr)
        else:
            assert words[0] in ("licframe", "pytest", "torchrun", MAGICK), command
            commands = {"licframe": "licframe", "torchrun": "torch.distributed.run"}
            script = "".join(
                f'{name}() {{ "{sys.executable}" -m {module} "$@"; }}\n'
                for name, module in commands.items()
            )
            script += f"set -o pipefail\n{command}"
            script = script.replace("\npytest ", f'\n"{sys.executable}" -m pytest -q -p no:cacheprovider ')
            paths = os.pathsep.join([*self.packages, os.environ.get("PYTHONPATH", "")])
            environment = {**os.environ, "PYTHONPATH": paths.rstrip(os.pathsep)}
            ran = subprocess.run(
                ["bash", "-c", script],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.returncode == 0, (command, ran.stderr[-3000:] + ran.stdout[-3000:])

    def install(self, what: str) -> None:
        extra = re.fullmatch(r"\.\[(.*)\]", what)
        if extra:
            assert extra[1] in {*EXTRAS.values(), "bench", "docs"}, what
        else:
            self.packages.append(str(installed(self.folder / what.removesuffix("[test]"))))


@contextmanager
def of_tiny() -> Iterator[None]:
    """Let the doctor look at one profile and one picture; another test looks at all."""
    with pytest.MonkeyPatch.context() as patch:
        shipped = {"tiny": profile.shipped_profiles()["tiny"]}
        patch.setattr(profile, "shipped_profiles", lambda: shipped)
        patch.setattr(exactness, "sample_images", lambda *_: SMALL)
        yield


def there_is_a_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.mark.parametrize("page", pages())
def test_what_a_page_says_can_be_done(page: Path, folder: Path, capsys) -> None:
    shell, names = Shell(folder), {"__name__": "page"}
    for language, title, text in with_blocks(page):
        if title:
            (folder / title).parent.mkdir(parents=True, exist_ok=True)
            (folder / title).write_text(text)
        elif language == "python":
            exec(re.sub(r"minutes=\d+", "minutes=0.02", text), names)
        elif language == "sh":
            shell.run(text)
        else:
            assert language == "text", (page, language)


def test_entropy_model_of_the_tutorial_has_40_lines() -> None:
    (text,) = (
        text
        for _, title, text in with_blocks(DOCS / "tutorials" / "entropy-model.md")
        if title.endswith(".py")
    )
    code = text.split('"""', 2)[2]
    lines = [line for line in code.splitlines() if line.strip() and not line.startswith(("import", "from"))]

    assert len(lines) <= 40


def test_every_page_is_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text()
    for page in [*PAGES, DOCS / "format.md", DOCS / "glossary.md", DOCS / "training.md"]:
        assert f"- {page.relative_to(DOCS)}\n" in listed, page
    for note in (DOCS / "lab").glob("*.md"):
        assert f"- lab/{note.name}\n" in listed


def test_files_that_pages_name_exist() -> None:
    for page in PAGES:
        for path in re.findall(
            r"\b((?:docs|tests|profiles|plugins|examples)/[\w/.-]+\.\w+)", page.read_text()
        ):
            assert (ROOT / path).exists(), (page, path)


def test_commands_are_all_described() -> None:
    said = tool("site").commands()

    for name in COMMANDS:
        assert f"## licframe {name}\n" in said
    for name in ("rd", "speed", "loss"):
        assert f"### licframe bench {name}\n" in said
    assert "| `--quality N`, `-q` | 0 (smallest file" in said


def test_profile_keys_are_all_described() -> None:
    site = tool("site")
    said = site.profile_keys()
    options = [item.part.options for kind in KINDS for item in registry().parts[kind].values()]
    for one in [profile.Encoder, profile.Training, *options]:
        for field in attrs.fields(one):
            assert f"| `{field.name}` |" in said, (one, field.name)
            assert site.described(one)[1].get(field.name), (one, field.name)
    for name in [name for kind in KINDS for name in registry().parts[kind]]:
        assert f"| `{name}` |" in said


def test_errors_are_all_described() -> None:
    said = tool("site").errors()
    pending = [LicframeError]
    while pending:
        error = pending.pop()
        pending += [e for e in error.__subclasses__() if e.__module__ == "licframe.errors"]
        assert f"| {error.exit_code} | `{error.__name__}` |" in said


def test_every_weights_file_has_a_card() -> None:
    """Made from the file: what it is for, who uses it, how it was trained, which bytes it has."""
    folder = ROOT / "profiles" / "weights"
    said = tool("cards").cards(folder)
    found = dict(re.findall(r"^## (\S+)$\n(.*?)(?=^## |\Z)", said, re.MULTILINE | re.DOTALL))

    assert set(found) == {path.stem for path in folder.glob("*.safetensors")}
    for name, card in found.items():
        path = folder / f"{name}.safetensors"
        training = read_metadata(path)["training"]
        assert f"| SHA-256 | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |" in card
        assert f"| last run | {training['patches']:,} patches, {training['minutes']:g} min" in card
        assert f"| size | {path.stat().st_size:,} bytes |" in card
    assert "| used by | `max_visual`, `visual` |" in found["balanced+visual"]
    assert "entropy model `student-t 1`" in found["balanced"]
    assert "times the squared error of the teacher" in found["balanced+deformable"]
    assert "bits per pixel" in found["balanced+serial"]
    assert "bits per pixel" not in found["balanced+visual"] + found["tiny+detail"]
    for name, what in {
        "balanced": "Base weights",
        "balanced+distilled": "A synthesis for the files of `balanced`",
        "balanced+serial": "A context model and its entropy models for the latents of `balanced`",
        "balanced+visual": "A transform with its gains for the context of `balanced`",
        "tiny+detail": "A detail layer: what the latent of `tiny` leaves out",
    }.items():
        assert found[name].strip().startswith(what)


@pytest.mark.parametrize("name", ["tiny", "checkerboard"])
def test_drawings_show_every_position_once(name: str) -> None:
    from licframe.codec.loading import build

    site = tool("site")
    scheduler = build(profile.latent_profile(name)).scheduler
    positions = [place for _, places in site.panels(scheduler) for place in places]

    assert sorted(positions) == [(row, column) for row in range(8) for column in range(8)]
    assert site.drawing(site.panels(scheduler)).count("#e8710a") == 64


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("mkdocs", "material", "mkdocstrings")),
    reason="the extra docs is not installed",
)
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    paths = os.pathsep.join(map(str, [ROOT, ROOT / "plugins"]))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) >= len(PAGES)
    for page in built:
        loaded = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?(https?:)?//[^\" >]*", page.read_text()
        )
        assert not loaded, page
    for module, name in (("parts", "EntropyModel"), ("licframe", "load"), ("training", "train")):
        assert f".{name}" in (tmp_path / "site" / "reference" / f"{module}.html").read_text()
