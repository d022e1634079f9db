"""The documents say what is there: commands, exit codes, modules, profile keys."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import typer

import licframe
from licframe.cli.app import app
from licframe.codec.latent import LatentCodec
from licframe.codec.target import Target
from licframe.picture.images import Picture
from licframe.registry import discovery
from licframe.training.refit import table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLES = [
    pytest.param(code, id=f"{page}-{number}", marks=[pytest.mark.slow] if "train(" in code else [])
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))),
    )
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL))
]
WITH_DOCTESTS = [
    path.relative_to(folder).with_suffix("")
    for folder in (ROOT, ROOT / "plugins")
    for path in sorted(folder.glob("licframe*/**/*.py"))
    if ">>> " in path.read_text()
]


@pytest.fixture
def photographs(picture: Picture, codec: LatentCodec, tmp_path: Path, monkeypatch) -> Path:
    """A folder with the files that examples speak of; it is where they run."""
    picture.save(tmp_path / "photo.png")
    (tmp_path / "photo.lic").write_bytes(codec.encode(picture, Target(quality=50)).data)
    (tmp_path / "photographs").mkdir()
    for name in ("one", "two"):
        picture.save(tmp_path / "photographs" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", EXAMPLES)
def test_examples_run(code: str, photographs: Path, picture: Picture) -> None:
    found: dict = {}
    exec(re.sub(r"minutes=\d+", "minutes=0.01", code), found)

    assert "image" not in found or found["image"].size == picture.size


@pytest.mark.parametrize("path", WITH_DOCTESTS, ids=str)
def test_doctests(path: Path, photographs: Path) -> None:
    names = [part for part in path.parts if part != "__init__"]
    found = doctest.testmod(importlib.import_module(".".join(names)))

    assert found.failed == 0
    assert found.attempted > 0


def test_no_doctest_is_skipped() -> None:
    assert WITH_DOCTESTS
    for path in [*ROOT.glob("licframe/**/*.py"), *ROOT.glob("plugins/**/*.py")]:
        assert "doctest: +SKIP" not in path.read_text(), path


def test_the_readme_is_short_and_keeps_its_promises() -> None:
    lines = README.splitlines()

    assert len(lines) <= 90
    assert {f"## {name}" for name in ("Start", "Use", "Extend", "How good is it?", "Read on")} <= set(lines)
    for said in ("git clone --depth 1", "2210.04112", "2309.02529", "**Limits.**", "kodak-ssimulacra2.svg"):
        assert said in README
    for page in re.findall(r"\]\(([\w/.-]+)\)", README):
        assert (ROOT / page).exists(), page


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {licframe.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_changes_are_of_known_kinds() -> None:
    """What is named otherwise would be left out of the changelog."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    kinds = "|".join(kind["directory"] for kind in settings["type"])
    for path in (ROOT / settings["directory"]).iterdir():
        assert path.name == "README.md" or re.fullmatch(
            rf"(\d+|\+[\w-]+)\.({kinds})(\.\d+)?\.md", path.name
        ), path


def test_files_named_in_the_documents_exist() -> None:
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "RELEASING.md",
        "docs/format.md",
        "docs/glossary.md",
        "docs/training.md",
        "profiles/weights/README.md",
    ):
        for path in re.findall(
            r"`((?:licframe|docs|tests|profiles|plugins)/[\w/.-]+\.\w+)`", (ROOT / page).read_text()
        ):
            if "mine" not in path:
                assert (ROOT / path).exists(), (page, path)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "RELEASING.md", "docs/training.md"])
def test_commands_that_are_only_shown_have_the_options_that_are_named(page: str) -> None:
    group = typer.main.get_command(app)
    shown = re.findall(r"^ {4}(licframe .*)", (ROOT / page).read_text().replace("\\\n", ""), re.MULTILINE)

    for line in shown:
        _, name, *words = line.partition(" #")[0].split()
        command = group.get_command(None, name)
        if words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words[0]]
        known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= known, line
    assert shown or page == "RELEASING.md"


def test_the_glossary_is_in_order_and_linked() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    entries = re.findall(r"^\*\*([^*]+)\.\*\*", text, re.MULTILINE)

    assert entries == sorted(entries, key=str.casefold)
    assert len(set(entries)) == len(entries) == text.count("\n**")
    for page in ("README.md", "CONTRIBUTING.md"):
        assert "`docs/glossary.md`" in (ROOT / page).read_text()


@pytest.mark.parametrize("kind", sorted(discovery.KINDS))
def test_options_are_documented_where_they_are_declared(kind: str) -> None:
    import attrs

    for item in discovery.registry().parts[kind].values():
        for field in attrs.fields(item.part.options):
            assert re.search(rf"\b{field.name}\b", item.part.options.__doc__), (item.part.name, field.name)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_tool", ROOT / "docs" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_result_tables_are_fresh() -> None:
    """README and docs/results say what the measurements next to them say."""
    pytest.importorskip("bjontegaard")
    results = tool("results")
    for page in (ROOT / "README.md", ROOT / "docs" / "results" / "README.md"):
        text = page.read_text()
        assert "<!-- results " in text
        assert results.filled(text) == text, f"run python docs/tools/results.py --tables: {page} is stale"


def test_the_table_of_weights_is_fresh() -> None:
    """It names every file, with the patches, minutes and hash that the file has."""
    page = ROOT / "profiles" / "weights" / "README.md"
    text = page.read_text()

    assert table(text, page.parent) == text, "run licframe refit --table"
    for path in page.parent.glob("*.safetensors"):
        assert f"| `{path.stem}` |" in text
