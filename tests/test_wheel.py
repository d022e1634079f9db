"""The wheel: what is in it, and that it runs without the rest of the repository."""

from __future__ import annotations

import configparser
import importlib.util
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import licframe
from licframe.picture.images import Picture

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [ROOT / name for name in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("hatchling") is None, reason="hatchling is not installed"),
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    build = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(place),
        str(ROOT),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *build], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = place.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    return place


def files_in(folder: Path) -> set[Path]:
    return {
        p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }


def test_the_wheel_holds_packages_profiles_weights_examples_and_nothing_else(unpacked: Path) -> None:
    wanted = {Path(package.name) / file for package in PACKAGES for file in files_in(package)}
    for folder in ("profiles", "examples"):
        wanted |= {Path("licframe", folder) / file for file in files_in(ROOT / folder)}
    found = files_in(unpacked)
    (shared,) = {Path(*file.parts[:2]) for file in found if file.parts[0].endswith(".data")}
    wanted |= {shared / "share" / file for file in files_in(ROOT / "share")}
    (information,) = {file.parts[0] for file in found if file.parts[0].endswith(".dist-info")}

    assert {file for file in found if file.parts[0] != information} == wanted
    assert {Path("licframe/py.typed"), Path("licframe/profiles/weights/balanced.safetensors")} <= wanted
    assert Path(information, "licenses", "LICENSE") in found


def test_entry_points_are_those_of_the_project(unpacked: Path) -> None:
    (listing,) = unpacked.glob("*.dist-info/entry_points.txt")
    parser = configparser.ConfigParser(delimiters="=")
    parser.optionxform = str
    parser.read(listing)
    project = PYPROJECT["project"]

    assert {name: dict(parser[name]) for name in parser.sections()} == {
        "console_scripts": project["scripts"],
        **project["entry-points"],
    }
    for module in parser["licframe"].values():
        path = unpacked.joinpath(*module.partition(":")[0].split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


def test_it_runs_from_the_wheel_alone(unpacked: Path, picture: Picture, tmp_path: Path) -> None:
    """Code, plugins and weights are those of the wheel, wherever another copy is installed."""
    picture.save(tmp_path / "a.png")
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    plugin = next(package.name for package in PACKAGES if package.name != "licframe")
    code = f"import licframe, {plugin}; print(licframe.__file__, {plugin}.__file__)"
    assert all(path.startswith(str(unpacked)) for path in run("-c", code).split())
    assert run("-m", "licframe", "--version") == f"licframe {licframe.__version__}"
    run("-m", "licframe", "new-plugin", "mine", "--kind", "codec")
    run("-m", "licframe", "run", "tiny", "a.png", "--json")
    assert (tmp_path / "licframe-out" / "a.lic").is_file()
