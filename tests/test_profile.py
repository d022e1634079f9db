"""Profiles: what is written is what is built; mistakes are named with file, table and key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import attrs
import pytest
from typer.testing import CliRunner

from licframe.cli.app import app
from licframe.codec.loading import build, build_filter
from licframe.errors import LicframeError, ProfileError, UnknownPluginError
from licframe.evaluation.complexity import complexity
from licframe.profile import profile as profile_module
from licframe.profile.profile import latent_profile, latent_profiles, load_profile, shipped_profiles
from licframe.registry.discovery import registry

ROOT = Path(__file__).resolve().parent.parent
MINIMAL = """
[transform]
plugin = "residual"
[context_scheduler]
plugin = "msp"
[entropy_model]
plugin = "gaussian"
[refiner]
plugin = "none"
[picture_filter]
plugin = "none"
"""


def invoke(*args: str) -> str:
    done = CliRunner().invoke(app, args, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("name", latent_profiles())
def test_shipped_profiles_resolve_to_themselves(name: str, tmp_path: Path) -> None:
    profile = latent_profile(name)
    again = latent_profile(write(tmp_path, profile.to_toml()))

    assert again.structure() == profile.structure()
    assert again.weights_path == profile.weights_path
    assert profile.summary


def test_shipped_profiles_are_the_promised_ones() -> None:
    assert {"tiny", "balanced", "max_quality"} <= set(shipped_profiles())


def test_extends_keeps_what_is_not_changed(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL + "[training]\nbatch = 3\n", "base.toml")
    profile = latent_profile(write(tmp_path, 'extends = "base"\n[transform]\nchannels = 64\n'))

    assert profile.transform.options.channels == 64
    assert profile.transform.options.merged == 192
    assert profile.training.batch == 3


def test_extends_in_a_circle_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "mine"\n', "base.toml")

    with pytest.raises(ProfileError, match="circle"):
        latent_profile(write(tmp_path, 'extends = "base"\n'))


def test_weights_are_found_beside_the_profile_that_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "deeper"
    folder.mkdir()
    write(tmp_path, MINIMAL + '[weights]\nfile = "w.safetensors"\n', "base.toml")

    profile = latent_profile(write(folder, 'extends = "../base.toml"\n'))

    assert profile.weights_path == tmp_path.resolve() / "w.safetensors"


def test_overrides_come_last() -> None:
    profile = latent_profile(
        "tiny", ["transform.channels=32", "transform.widths=[1, 2, 3]", "refiner.plugin=none"]
    )

    assert profile.transform.options.channels == 32
    assert profile.transform.options.widths == (1, 2, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[transform", "not valid TOML"),
        ("[transforms]", 'did you mean "transform"'),
        ("", r"\[transform\] is missing"),
        (MINIMAL.replace('"msp"', '"mspp"'), 'did you mean "msp"'),
        (MINIMAL.replace('"msp"', '"msp"\nphase = 2'), 'did you mean "phases"'),
        (MINIMAL.replace('"msp"', '"msp"\nphases = 4'), "phases"),
        (MINIMAL.replace('"msp"', '"msp"\nphases = 2.5'), "expected int"),
        (MINIMAL.replace('"msp"', '"msp"\nphases = true'), "expected int"),
        (MINIMAL.replace('"msp"', '"msp"\nphases = "2"'), "expected int"),
        (MINIMAL.replace('plugin = "msp"', "plugin = 3"), "expected plugin"),
        (MINIMAL + "[weights]\nfiles = 1\n", 'did you mean "file"'),
        (MINIMAL + "[training]\nbatch = 0\n", "batch"),
        (MINIMAL + "[training]\npatch = 100\n", "multiple of 16"),
        (MINIMAL + '[training]\npatch = 160\ndistortion = "ms-ssim"\n', "176 or more"),
        ("extends = 3\n" + MINIMAL, "extends"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ProfileError, match=said) as caught:
        latent_profile(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override", ["transform", "transform.channels", "nothing.x=1", "=", "transform.=3"]
)
def test_malformed_override_is_refused(override: str) -> None:
    with pytest.raises(ProfileError, match="--set"):
        latent_profile("tiny", [override])


@pytest.mark.parametrize("name", ["My Profile.toml", "é.toml", "a" * 65 + ".toml"])
def test_names_that_a_file_cannot_carry_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ProfileError, match="rename"):
        latent_profile(write(tmp_path, MINIMAL, name))


def test_unknown_profile_lists_the_known_ones() -> None:
    with pytest.raises(ProfileError, match='did you mean "balanced"'):
        latent_profile("balancd")


def test_unknown_part_says_which_plugins_failed() -> None:
    with pytest.raises(UnknownPluginError, match="failed to load: none"):
        latent_profile("tiny", ["entropy_model.plugin=nothing"])


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    twice = '[[entropy_model]]\nplugin = "gaussian"\n' * 2
    text = MINIMAL.replace('[entropy_model]\nplugin = "gaussian"\n', twice)

    with pytest.raises(LicframeError, match="entropy model"):
        build(latent_profile(write(tmp_path, text)))


def test_channel_groups_must_ascend_below_the_channels() -> None:
    for groups in ([64], [0], [12, 8]):
        with pytest.raises(ProfileError, match="groups"):
            build(latent_profile("tiny", [f"context_scheduler.groups={groups}"]))


def test_to_toml_is_valid_toml(tmp_path: Path) -> None:
    assert tomllib.loads(latent_profile("balanced").to_toml())["transform"]["plugin"] == "residual"
    odd = 'a "quoted" \\ and\ttabbed\nname, é'
    profile = attrs.evolve(latent_profile("checkerboard"), summary=odd)
    again = latent_profile(write(tmp_path, profile.to_toml()))
    assert again.summary == odd
    assert [model.label for model in again.entropy_models] == ["gllmm 1", "gaussian 1"]


@pytest.mark.slow
@pytest.mark.parametrize("name", latent_profiles())
def test_what_profiles_are_said_to_cost_is_what_is_built(name: str) -> None:
    """In ``licframe profiles``, and in the measurements that the tables of the documents are made of."""
    built = complexity(build(latent_profile(name)), build_filter(latent_profile(name)))
    (record,) = [r for r in json.loads(invoke("profiles", "--json")) if r["name"] == name]

    assert {key: record[key] for key in built} == built, "run python docs/tools/complexity.py"
    assert {key: json.loads(invoke("profiles", name, "--json"))[key] for key in built} == built
    results = ROOT / "docs" / "results"
    rate = results / "kodak" / f"{name}.json"
    if rate.is_file():
        assert json.loads(rate.read_text())["complexity"] == built
    for timing in json.loads((results / "speed.json").read_text())["timings"]:
        if timing["profile"] == name:
            assert timing["complexity"] == built


def test_what_another_structure_costs_is_not_claimed(tmp_path: Path) -> None:
    changed = json.loads(invoke("profiles", "fast", "--set", "context_scheduler.width=200", "--json"))
    own = json.loads(invoke("profiles", str(write(tmp_path, 'extends = "fast"')), "--json"))

    assert changed["kmac_decode"] is None
    assert own["parameters"] is None


def test_an_added_option_leaves_old_weights_usable() -> None:
    """What a part gains later counts only where it is used."""
    without, default, used = (
        latent_profile("tiny", settings).structure()
        for settings in ([], ["transform.conditioned=false"], ["transform.conditioned=true"])
    )

    assert without == default
    assert "conditioned" not in without["parts"][0]
    assert used["parts"][0]["conditioned"] is True


def test_an_old_name_of_a_plugin_keeps_the_options_beside_it(tmp_path: Path, monkeypatch) -> None:
    """A profile that extends another may name the same plugin as it was named before."""
    found = registry()
    parts = {kind: dict(items) for kind, items in found.parts.items()}
    items = parts["context_scheduler"]
    items["msp"] = attrs.evolve(
        items["msp"], part=attrs.evolve(items["msp"].part, aliases=("multi-scale",))
    )
    monkeypatch.setattr(profile_module, "registry", lambda: attrs.evolve(found, parts=parts))
    path = tmp_path / "mine.toml"
    path.write_text('extends = "tiny"\n[context_scheduler]\nplugin = "multi-scale"\nblocks = 2\n')
    mine = latent_profile(path, ["context_scheduler.plugin=multi-scale"]).context_scheduler

    assert (mine.part.name, mine.options.width, mine.options.blocks) == ("msp", 32, 2)


@pytest.mark.parametrize("table", ["weights", "transform", "training"])
def test_a_codec_of_another_kind_has_no_use_for_parts(tmp_path: Path, table: str) -> None:
    text = f'[codec]\nplugin = "jpeg"\n[{table}]\nfile = "x"\n'
    with pytest.raises(ProfileError, match=rf"\[{table}\] is of no use to codec jpeg"):
        load_profile(write(tmp_path, text))


@pytest.mark.parametrize("override", ["extends.x=1", "summary.x=1"])
def test_only_tables_are_set(override: str) -> None:
    with pytest.raises(ProfileError, match=r"--set .*expected table\.key=value"):
        load_profile("tiny", [override])
