"""``licframe new-plugin``: a package of each kind, which passes its own test as it is."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from licframe.errors import FileError, UsageError
from licframe.registry.discovery import KINDS, discover
from licframe.testing.exactness import sample_images
from licframe.testing.starter import EXAMPLES, start
from tests.test_cli import licframe


def installed(package: Path) -> Path:
    """Write the metadata that pip would leave beside a package's modules; return the folder."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    ((name, target),) = project["entry-points"]["licframe"].items()
    (info / "entry_points.txt").write_text(f"[licframe]\n{name} = {target}\n")
    return package


def there(package: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_kind_has_an_example_and_is_in_the_help(tmp_path: Path) -> None:
    assert EXAMPLES.keys() == KINDS.keys()
    said = licframe("new-plugin", "--help", cwd=tmp_path).stdout
    assert all(kind in said for kind in KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_package_is_found_under_its_names(kind: str, tmp_path: Path, monkeypatch) -> None:
    import entrypoints

    part = f"found-{kind.replace('_', '-')}"
    package = tmp_path / "package"
    files = start(part, kind, package)
    installed(package)
    monkeypatch.syspath_prepend(str(package))
    found = discover(entrypoints.get_group_all("licframe", path=[str(package)]))

    assert not found.failures
    assert list(found.parts[kind]) == [part]
    assert sum(map(len, found.parts.values())) == 1
    for path in files:
        text = path.read_text()
        assert not any(f'"{example.part}"' in text for example in EXAMPLES.values()), path
        assert "simplest" not in text.replace("the simplest", ""), path
        assert "heavytail" not in text, path
        if path.suffix == ".py":
            assert ast.get_docstring(ast.parse(text)) or path.parent.name == "tests", path


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_package_passes_its_test_as_it_is(kind: str, tmp_path: Path) -> None:
    part = f"mine-{kind.replace('_', '-')}"
    assert licframe("new-plugin", part, "--kind", kind, cwd=tmp_path).returncode == 0
    package = installed(tmp_path / f"licframe-{part}")
    done = there(package, "pytest", "-q", "-p", "no:cacheprovider", ".", cwd=package)
    checked = there(package, "ruff", "check", "--isolated", "--select", "F,E4,E7,E9", ".", cwd=package)

    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["transform", "context_scheduler", "entropy_model"])
def test_its_profile_trains_and_runs(kind: str, tmp_path: Path) -> None:
    package = tmp_path / "package"
    start("mine", kind, package)
    installed(package)
    (tmp_path / "photographs").mkdir()
    Image.fromarray(sample_images(1, 200)[0]).save(tmp_path / "photographs" / "a.png")
    train = ("train", "package/mine.toml", "--data", "photographs", "--minutes", "0.02")
    trained = there(package, "licframe", *train, cwd=tmp_path)
    run = ("run", "runs/mine/profile.toml", "photographs/a.png")
    done = there(package, "licframe", *run, cwd=tmp_path)

    assert trained.returncode == 0, trained.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refiner", "picture_filter", "codec"])
def test_its_profile_needs_no_training(kind: str, tmp_path: Path) -> None:
    package = tmp_path / "package"
    start("mine", kind, package)
    installed(package)
    Image.fromarray(sample_images(1, 100)[0]).save(tmp_path / "a.png")
    done = there(package, "licframe", "run", "package/mine.toml", "a.png", cwd=tmp_path)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("part", "kind", "said"),
    [
        ("Mine", "refiner", "lower-case letters"),
        ("9lives", "refiner", "a letter first"),
        ("a--b", "refiner", "lower-case letters"),
        ("../mine", "refiner", "lower-case letters"),
        ("m" * 33, "refiner", "at most 32"),
        ("lof", "refiner", 'licframe 0.1.0 has a refiner "lof" already'),
        ("true", "refiner", "would make the class True"),
        ("tensor", "refiner", "would make the class Tensor"),
        ("transform", "transform", "would make the class Transform"),
        ("mine", "refinr", 'did you mean "refiner"'),
    ],
)
def test_names_and_kinds_that_cannot_be_are_refused(
    part: str, kind: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        start(part, kind, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="exists; name another folder with --output"):
        start("mine", "refiner", tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_says_where_to_go_on(tmp_path: Path) -> None:
    done = licframe("new-plugin", "mine", "--kind", "codec", "-o", "here", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert "here/licframe_mine/codec.py\n" in done.stdout
    assert done.stdout.endswith('go on with: cd here && pip install -e ".[test]" && pytest\n')
    assert licframe("new-plugin", "mine", "--kind", "codec", "-o", "here", cwd=tmp_path).returncode == 10
    assert licframe("new-plugin", "Mine", "--kind", "codec", cwd=tmp_path).returncode == 2
