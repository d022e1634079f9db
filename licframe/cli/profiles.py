"""``licframe profiles``: which profiles there are, and what one resolves to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from licframe.cli.options import Json, Overrides, print_json, print_table

if TYPE_CHECKING:
    from licframe.profile.profile import Profile


def profiles(
    name: Annotated[str | None, typer.Argument(help="Show this one, resolved, as TOML.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the shipped profiles, or print one in full.

    In full means with everything it inherits, and every default.

    Example: licframe profiles balanced
    """
    from licframe.errors import UsageError
    from licframe.profile.profile import load_profile, shipped_profiles

    if name is not None:
        profile = load_profile(name, overrides or ())
        if as_json:
            changed = overrides or profile.source != shipped_profiles().get(profile.name)
            print_json(_record(profile, {} if changed else _shipped_costs()))
        else:
            typer.echo(profile.to_toml(), nl=False)
        return
    if overrides:
        raise UsageError("--set changes one profile; name it: licframe profiles NAME --set ...")
    costs = _shipped_costs()
    records = [_record(load_profile(shipped), costs) for shipped in shipped_profiles()]
    if as_json:
        print_json(records)
        return
    keys = ("name", "parameters", "kmac_encode", "kmac_decode", "serial_passes", "weights", "summary")
    rows = [["-" if r.get(k) is None else str(r[k]) for k in keys] for r in records]
    columns = ["profile", "parameters", "kMAC/px enc", "dec", "serial passes", "weights", "what"]
    print_table("profiles", columns, rows, "passes and kMAC per pixel at 768x512; weights: fingerprint")


def _record(profile: Profile, costs: dict[str, Any]) -> dict[str, Any]:
    from licframe.errors import WeightsMismatchError
    from licframe.profile.profile import LatentProfile
    from licframe.profile.weights import find

    if not isinstance(profile, LatentProfile):
        assert profile.codec is not None
        return {"name": profile.name, "summary": profile.summary, "codec": profile.codec.label}
    weights = None
    if profile.weights_path is not None:
        try:
            weights = find(profile.weights_path, profile.structure()).record["fingerprint"][:12]
        except WeightsMismatchError:
            weights = "missing"
    cost = costs.get(profile.name, {})
    return {
        "name": profile.name,
        "summary": profile.summary,
        "parts": list(profile.parts),
        "refiner": profile.refiner.part.name,
        "picture_filter": profile.picture_filter.part.name,
        "weights": weights,
        **{k: cost.get(k) for k in ("parameters", "kmac_encode", "kmac_decode", "serial_passes")},
    }


def _shipped_costs() -> dict[str, Any]:
    """Return what the shipped profiles cost, by name: measured beforehand, for that takes torch and seconds."""
    import json

    from licframe.profile.profile import profile_folder

    found: dict[str, Any] = json.loads((profile_folder() / "complexity.json").read_text("utf-8"))
    return found
