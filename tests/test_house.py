"""The house: which room may import which. CONTRIBUTING.md draws it."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import licframe

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    ("errors",),
    ("runtime", "exact", "registry"),
    ("bitstream", "profile"),
    ("picture", "model"),
    ("codec",),
    ("batch", "parts", "pillow"),
    ("evaluation",),
    ("training", "testing"),
    ("cli",),
    ("__main__",),
)
DOORS = {"parts", "pillow", "__main__"}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "licframe").with_suffix("").parts[0]


def imported_rooms(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield rooms of licframe that code imports, wherever it does, with the line."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "licframe":
            names = [node.module] if "." in node.module else [f"licframe.{a.name}" for a in node.names]
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.startswith("licframe.")]
        for name in names:
            yield name.split(".")[1], node.lineno


def test_upper_rooms_import_lower_ones_and_never_back() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in sorted((ROOT / "licframe").rglob("*.py")):
        own = room_of(path)
        if own == "__init__":  # the front door opens any room when it is asked for
            continue
        for room, line in imported_rooms(ast.parse(path.read_text())):
            if room != own and floor[room] >= floor[own]:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {room}")

    assert not wrong


def test_every_room_stands_on_a_floor_and_in_the_drawing() -> None:
    rooms = {room_of(path) for path in (ROOT / "licframe").rglob("*.py")} - {"__init__"}
    drawing = (ROOT / "CONTRIBUTING.md").read_text()

    assert rooms == {room for floor in FLOORS for room in floor}
    assert len(rooms - DOORS) <= 14
    assert [room for room in rooms if f"`{room}`" not in drawing and not room.startswith("__")] == []


@pytest.mark.parametrize("folder", ["plugins", "examples"])
def test_parts_come_in_through_the_doors(folder: str) -> None:
    """A plugin imports licframe itself, ``licframe.parts`` and, in tests, the conformance kit; no other room."""
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        rooms = {room for room, _ in imported_rooms(ast.parse(path.read_text()))}
        wrong += [f"{path.relative_to(ROOT)} imports {room}" for room in rooms - {"parts", "testing"}]

    assert not wrong


@pytest.mark.parametrize("folder", ["licframe", "plugins", "examples"])
def test_functions_fit_on_a_screen(folder: str) -> None:
    """At most 60 lines below the signature, which is a table of options in commands, and the docstring."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                assert node.end_lineno - first.lineno < 60, f"{path}:{node.lineno} {node.name}"


def test_the_latent_codec_fits_on_a_few_screens() -> None:
    assert len((ROOT / "licframe" / "codec" / "latent.py").read_text().splitlines()) <= 250


def test_the_core_names_no_plugin() -> None:
    for path in (ROOT / "licframe").rglob("*.py"):
        assert "licframe_plugins" not in path.read_text(), path


def test_built_in_plugins_are_one_package_that_only_entry_points_lead_to() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = {path.parent.name for path in (ROOT / "plugins" / "licframe_plugins").glob("*/plugin.py")}

    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [
        "licframe",
        "plugins/licframe_plugins",
    ]
    assert {path.parent.name for path in (ROOT / "plugins").glob("*/*.py")} == {"licframe_plugins"}
    assert project["project"]["entry-points"]["licframe"] == {
        name: f"licframe_plugins.{name}.plugin" for name in found
    }


@pytest.mark.parametrize(
    "module",
    sorted(
        m.name for m in pkgutil.walk_packages(licframe.__path__, "licframe.") if "__main__" not in m.name
    ),
)
def test_everything_public_says_what_it_is(module: str) -> None:
    loaded = importlib.import_module(module)
    assert inspect.getdoc(loaded), module
    for name, value in vars(loaded).items():
        if getattr(value, "__module__", None) == module and not name.startswith("_"):
            assert inspect.getdoc(value), (module, name)
