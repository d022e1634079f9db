"""Weights files: what is loaded is what was saved, or an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from licframe.bitstream.container import read, read_header
from licframe.codec.loading import build, entropy_models, load_for, load_latent, save
from licframe.errors import NotExactError, WeightsMismatchError
from licframe.model.latent_model import LatentModel
from licframe.profile.profile import latent_profile
from licframe.profile.weights import load_shared, read_metadata
from tests.conftest import noise_picture


@pytest.fixture
def saved(untrained: LatentModel, tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save(untrained, latent_profile("tiny"), path, {"patches": 7})
    return path


def test_round_trip_is_stable(saved: Path, tmp_path: Path) -> None:
    """Loading and saving again changes nothing: shipped weights can be trained on and compared."""
    codec = load_latent("tiny", [f"weights.file={saved}"])
    tables = codec.model.units.to_context.clone()
    again = tmp_path / "again.safetensors"
    assert (
        save(codec.model, codec.profile, again, {})
        == read_metadata(saved)["fingerprint"]
        == codec.fingerprint.hex()
    )
    assert torch.equal(tables, codec.model.units.to_context)


def test_record_is_kept(saved: Path) -> None:
    assert read_metadata(saved)["training"] == {"patches": 7}


def change(path: Path, edit) -> Path:
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    edit(tensors)
    save_file(tensors, path, metadata)
    return path


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: t["scheduler.base"].add_(1),
        lambda t: t["units.to_context"].add_(1),
        lambda t: t.pop("scheduler.base"),
        lambda t: t.update(extra=torch.zeros(2)),
    ],
    ids=["changed", "table", "missing", "extra"],
)
def test_changed_weights_are_refused(saved: Path, edit) -> None:
    change(saved, edit)

    with pytest.raises(WeightsMismatchError, match="fingerprint"):
        load_latent("tiny", [f"weights.file={saved}"])


def test_nan_is_refused(untrained: LatentModel, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    torch.nn.init.constant_(untrained.scheduler.base, float("nan"))
    save(untrained, latent_profile("tiny"), path, {})
    with pytest.raises(WeightsMismatchError, match="not finite"):
        load_latent("tiny", [f"weights.file={path}"])
    torch.nn.init.constant_(untrained.gains.log2_gain, float("nan"))
    with pytest.raises(NotExactError, match="diverged"):
        save(untrained, latent_profile("tiny"), path, {})


@pytest.mark.parametrize("data", [b"", b"text that is no weights", b"\xff" * 100, b"\x80\x04pickle"])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)

    with pytest.raises(WeightsMismatchError, match="not a licframe weights file"):
        load_latent("tiny", [f"weights.file={path}"])


def test_truncated_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])

    with pytest.raises(WeightsMismatchError, match="damaged"):
        load_latent("tiny", [f"weights.file={saved}"])


def test_shipped_weights_fit_and_are_small() -> None:
    for name in ("tiny", "balanced"):
        path = latent_profile(name).weights_path
        assert path is not None
        assert path.stat().st_size <= 16 * 2**20
        assert load_latent(name).fingerprint.hex() == read_metadata(path)["fingerprint"]


def test_untrained_codec_can_be_built_for_every_profile() -> None:
    for name in ("tiny", "balanced", "max_quality"):
        assert isinstance(build(latent_profile(name)), LatentModel)


SMALL = [
    "transform.plugin=distilled",
    *(f"transform.{option}" for option in ("channels=48", "merged=64", "widths=[8,16,16]")),
    *(f"transform.{option}" for option in ("analysis=[0,0,0]", "synthesis_widths=[4,0,0]")),
]


def beside(base: Path, name: str, settings: list[str]) -> list[str]:
    """Write weights of parts on base weights beside it; return the settings that name them."""
    settings = [*settings, f"weights.file={base}"]
    profile = latent_profile("tiny", settings)
    model = build(profile)
    if load_shared(base, model) == []:  # the same transform
        torch.nn.init.normal_(model.scheduler.base, std=0.1)
    save(model, profile, base.parent / f"{name}.safetensors", {}, base)
    return settings


def test_a_synthesis_and_a_context_of_the_same_base_weights_combine(saved: Path) -> None:
    """Each is trained by itself; together they decode the files of the context."""
    context = load_latent("tiny", beside(saved, "w+laplace", ["entropy_model.plugin=laplace"]))
    small = load_latent("tiny", beside(saved, "w+small", SMALL))
    both = load_latent("tiny", [*SMALL, "entropy_model.plugin=laplace", f"weights.file={saved}"])
    data = context.compress(noise_picture(56, 40), quality=40)

    assert small.fingerprint.hex() == read_metadata(saved)["fingerprint"]
    assert both.fingerprint == context.fingerprint != small.fingerprint
    assert torch.equal(
        both.model.transform.synthesis_blocks[0].first.weight,
        small.model.transform.synthesis_blocks[0].first.weight,
    )
    assert read(both.compress(noise_picture(56, 40), quality=40)).payloads == read(data).payloads
    assert both.decompress(data).size == (56, 40)
    assert [
        load_for(read_header(data), context.profile, name).lossy.fingerprint
        for name in ("distilled", "residual")
    ] == [context.fingerprint] * 2


@pytest.mark.parametrize("name", ["w", "w+laplace", "w+small"])
def test_each_file_of_a_combination_is_checked(saved: Path, name: str) -> None:
    beside(saved, "w+laplace", ["entropy_model.plugin=laplace"])
    beside(saved, "w+small", SMALL)
    change(saved.with_stem(name), lambda tensors: next(iter(tensors.values())).add_(1))

    with pytest.raises(WeightsMismatchError, match="fingerprint"):
        load_latent("tiny", [*SMALL, "entropy_model.plugin=laplace", f"weights.file={saved}"])


def test_a_part_with_a_new_name_keeps_its_weights() -> None:
    """Weights record the first name that a part had; profiles may use either."""
    new, old = (latent_profile("balanced", [f"entropy_model.plugin={n}"]) for n in ("student-t", "student"))
    path = new.weights_path
    assert path is not None
    recorded = read_metadata(path)["structure"]

    assert new == old
    assert "entropy_model" in {part["kind"] for part in recorded["parts"] if part["plugin"] == "student"}
    assert json.loads(json.dumps(new.structure())) == recorded
    assert new.parts[-1] == "student-t 1"
    assert [type(model).__name__ for model in entropy_models(recorded)] == ["StudentT"]


def test_weights_of_a_renamed_part_are_saved_and_found(untrained: LatentModel, tmp_path: Path) -> None:
    """A context that was fitted to them begins from them, beside base weights that know the old name."""
    base = tmp_path / "w.safetensors"
    profile = latent_profile("tiny", ["entropy_model.plugin=student-t"])
    fingerprint = save(untrained, profile, base, {})
    small = load_latent("tiny", [*beside(base, "w+small", [*SMALL, "entropy_model.plugin=student"])])

    assert read_metadata(base)["structure"]["parts"][-1]["plugin"] == "student"
    assert small.fingerprint.hex() == fingerprint
    assert small.decompress(small.compress(noise_picture(40, 24))).size == (40, 24)
