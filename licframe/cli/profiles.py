"""``licframe profiles``: which profiles there are, and what one resolves to."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from licframe.cli.options import Json, Overrides, print_json, print_table


def profiles(
    name: Annotated[str | None, typer.Argument(help="Show this one, resolved, as TOML.")] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the shipped profiles, or print one with everything it inherits."""
    from licframe.errors import ProfileError
    from licframe.profile.profile import Profile, load_profile, shipped_profiles

    if name is not None:
        profile = load_profile(name, overrides or ())
        if as_json:
            print_json(_record(profile))
        else:
            typer.echo(profile.to_toml(), nl=False)
        return
    if overrides:
        raise ProfileError("--set changes one profile; name it: licframe profiles NAME --set ...")
    loaded: list[Profile] = [load_profile(shipped) for shipped in shipped_profiles()]
    records = [_record(profile) for profile in loaded]
    if as_json:
        print_json(records)
        return
    keys = ("name", "parameters", "kmac_encode", "kmac_decode", "serial_passes", "weights", "summary")
    rows = [["-" if r[k] is None else str(r[k]) for k in keys] for r in records]
    columns = ["profile", "parameters", "kMAC/px enc", "dec", "serial passes", "weights", "what"]
    print_table("profiles", columns, rows, "passes and kMAC per pixel at 768x512; weights: fingerprint")


def _record(profile: Any) -> dict[str, Any]:
    from licframe.errors import WeightsMismatchError
    from licframe.profile.weights import find

    weights, cost = None, {}
    if profile.weights_path is not None:
        try:
            record = find(profile.weights_path, profile.structure()).record
            weights, cost = record["fingerprint"][:12], record["training"]
        except WeightsMismatchError:
            weights = "missing"
    return {
        "name": profile.name,
        "summary": profile.summary,
        "parts": list(profile.parts),
        "refiner": profile.refiner.part.name,
        "weights": weights,
        **{k: cost.get(k) for k in ("parameters", "kmac_encode", "kmac_decode", "serial_passes")},
    }
