"""The documents say what is there: commands, exit codes, modules, profile keys."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from licframe import errors
from licframe.cli.app import COMMANDS
from licframe.registry import registry
from licframe.training.refit import table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_readme_shows_every_command() -> None:
    for name in COMMANDS:
        assert f"licframe {name}" in README + (ROOT / "CONTRIBUTING.md").read_text(), name


def test_readme_lists_every_exit_code() -> None:
    codes = {
        e.exit_code
        for e in vars(errors).values()
        if isinstance(e, type) and issubclass(e, errors.LicframeError)
    }
    listed = {int(code) for code in re.findall(r"(\d+) [a-z]", README[README.index("exit codes:") :][:220])}

    assert codes <= listed


def test_readme_example_runs(tmp_path: Path, monkeypatch, picture) -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    picture.save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(code, found)

    assert found["image"].size == picture.size


def test_readme_profile_loads(tmp_path: Path) -> None:
    from licframe.profile.profile import load_profile

    (tmp_path / "mine.toml").write_text(re.search(r"```toml\n(.*?)```", README, re.DOTALL).group(1))

    assert load_profile(tmp_path / "mine.toml").entropy_models[0].part.name == "gaussian-mixture"


def test_files_named_in_the_documents_exist() -> None:
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/format.md",
        "docs/training.md",
        "profiles/weights/README.md",
    ):
        for path in re.findall(
            r"`((?:licframe|docs|tests|profiles|plugins)/[\w/.-]+\.\w+)`", (ROOT / page).read_text()
        ):
            if "mine" not in path:
                assert (ROOT / path).exists(), (page, path)


@pytest.mark.parametrize("kind", sorted(registry.KINDS))
def test_options_are_documented_where_they_are_declared(kind: str) -> None:
    import attrs

    for item in registry.registry().parts[kind].values():
        for field in attrs.fields(item.part.options):
            assert re.search(rf"\b{field.name}\b", item.part.options.__doc__), (item.part.name, field.name)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_tool", ROOT / "docs" / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_result_tables_are_fresh() -> None:
    """README and docs/results say what the measurements next to them say."""
    pytest.importorskip("bjontegaard")
    results = tool("results")
    for page in (ROOT / "README.md", ROOT / "docs" / "results" / "README.md"):
        text = page.read_text()
        assert "<!-- results bd-psnr -->" in text
        assert results.filled(text) == text, f"run python docs/tools/results.py --tables: {page} is stale"


def test_the_table_of_weights_is_fresh() -> None:
    """It names every file, with the patches, minutes and hash that the file has."""
    page = ROOT / "profiles" / "weights" / "README.md"
    text = page.read_text()

    assert table(text, page.parent) == text, "run licframe refit --table"
    for path in page.parent.glob("*.safetensors"):
        assert f"| `{path.stem}` |" in text
