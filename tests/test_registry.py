"""Discovery: one broken plugin harms nobody, and is neither hidden nor fatal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from licframe.errors import PluginLoadError, UnknownPluginError
from licframe.registry.discovery import discover, find_labelled, load_class, registry
from licframe.registry.hooks import Part

GOOD = """
import attrs, licframe

@attrs.frozen
class Options:
    tail: float = 0.5

@licframe.hookimpl
def licframe_entropy_models():
    return [licframe.Part("heavy", 1, "heavy tails", Options, "{module}.missing:Model")]
"""


def install(folder: Path, name: str, code: str) -> None:
    """Write a package and the metadata that pip would leave."""
    (folder / f"{name}.py").write_text(code.replace("{module}", name))
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[licframe]\n{name} = {name}\n")


def found_in(folder: Path, monkeypatch: pytest.MonkeyPatch):
    import entrypoints

    monkeypatch.syspath_prepend(str(folder))
    for module in folder.glob("*.py"):  # another test's module of that name
        monkeypatch.delitem(sys.modules, module.stem, raising=False)
    return discover(entrypoints.get_group_all("licframe", path=[str(folder)]))


def test_a_third_party_part_is_found(tmp_path: Path, monkeypatch) -> None:
    install(tmp_path, "lic_good", GOOD)
    found = found_in(tmp_path, monkeypatch)

    assert found.find("entropy_model", "heavy").options(tail=1.0).tail == 1.0
    assert found.parts["entropy_model"]["heavy"].distribution == "lic_good 1.2"
    assert not found.failures


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("1/0", "ZeroDivisionError"),
        (GOOD.replace('"heavy"', '"Heavy Tails"'), "lower case"),
        (
            GOOD.replace("licframe_entropy_models()", "licframe_entropy_models(extra)"),
            "PluginValidationError",
        ),
        (GOOD.replace("licframe_entropy_models()", "licframe_entropy_modles()"), "PluginValidationError"),
        (GOOD.replace("return [", "raise RuntimeError('no') or ["), "RuntimeError"),
    ],
    ids=["import", "division", "name", "argument", "hook", "raises"],
)
def test_a_broken_plugin_is_recorded_and_others_work(
    tmp_path: Path, monkeypatch, code: str, said: str
) -> None:
    install(tmp_path, "lic_works", GOOD)
    install(tmp_path, "lic_broken", code.replace("heavy", "other"))
    found = found_in(tmp_path, monkeypatch)

    assert found.find("entropy_model", "heavy")
    (failure,) = found.failures
    assert failure.plugin == "lic_broken"
    assert failure.distribution == "lic_broken 1.2"
    assert said in failure.error
    with pytest.raises(UnknownPluginError, match=r"lic_broken of lic_broken 1\.2"):
        found.find("entropy_model", "other")


def test_two_plugins_with_one_name_are_reported(tmp_path: Path, monkeypatch) -> None:
    install(tmp_path, "lic_a", GOOD)
    install(tmp_path, "lic_b", GOOD)
    found = found_in(tmp_path, monkeypatch)

    assert "already provided by lic_a" in found.failures[0].error
    assert found.parts["entropy_model"]["heavy"].plugin == "lic_a"


def test_a_part_whose_class_is_missing_fails_when_asked_for() -> None:
    with pytest.raises(PluginLoadError, match="reinstall"):
        load_class(Part("x", 1, "", object, "licframe_plugins.msp.context:Nothing"))


def test_built_ins_come_through_entry_points() -> None:
    assert not registry().failures
    for kind, name in (("transform", "residual"), ("context_scheduler", "msp"), ("refiner", "none")):
        assert registry().parts[kind][name].distribution.startswith("licframe ")


def test_the_core_names_no_plugin() -> None:
    import licframe

    names = {name for parts in registry().parts.values() for name in parts} - {"none"}
    for path in Path(licframe.__file__).parent.rglob("*.py"):
        text = path.read_text()
        for name in names:
            assert f'== "{name}"' not in text, path


def test_registering_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, licframe.registry.discovery as r, licframe.profile.profile as p, licframe.cli.app; r.registry(); "
        "p.latent_profile('tiny'); print([m for m in ('torch', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


RENAMED = GOOD.replace('"{module}.missing:Model")', '"{module}.missing:Model", ("burden", "weight"))')


def test_a_part_is_found_by_the_names_that_it_had(tmp_path: Path, monkeypatch) -> None:
    install(tmp_path, "lic_new", RENAMED)
    found = found_in(tmp_path, monkeypatch)

    part = found.find("entropy_model", "burden")
    assert part is found.find("entropy_model", "heavy") is found.named("entropy_model", "weight")
    assert list(found.parts["entropy_model"]) == ["heavy"]
    assert (part.recorded, Part("a", 1, "", object, "").recorded) == ("burden", "a")


def test_a_name_that_another_part_had_is_taken(tmp_path: Path, monkeypatch) -> None:
    install(tmp_path, "lic_a", RENAMED)
    install(tmp_path, "lic_b", GOOD.replace('"heavy"', '"weight"'))
    found = found_in(tmp_path, monkeypatch)

    (failure,) = found.failures
    assert failure.plugin == "lic_b"
    assert '"heavy" is already provided by lic_a' in failure.error


def test_files_name_parts_by_either_name() -> None:
    assert find_labelled("entropy_model", "student 1") is find_labelled("entropy_model", "student-t 1")
    assert find_labelled("entropy_model", "student 2") is None
