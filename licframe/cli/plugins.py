"""``licframe plugins``: which parts are installed."""

from __future__ import annotations

from licframe.cli.options import Json, print_json, print_table


def plugins(as_json: Json = False) -> None:
    """List the parts of installed plugins.

    Plugins that failed to load are listed below, with the error.

    Example: licframe plugins --json
    """
    from licframe.registry.discovery import registry

    found = registry()
    parts = [
        {
            "kind": kind,
            "name": item.part.name,
            "version": item.part.version,
            "summary": item.part.summary,
            "plugin": item.plugin,
            "distribution": item.distribution,
        }
        for kind, items in found.parts.items()
        for item in items.values()
    ]
    failures = [
        {"plugin": f.plugin, "distribution": f.distribution, "error": f.error} for f in found.failures
    ]
    if as_json:
        print_json({"parts": parts, "failures": failures})
        return
    rows = [[str(p[k]) for k in ("name", "kind", "version", "distribution", "summary")] for p in parts]
    note = "\n".join(
        f"failed to load: {f['plugin']} of {f['distribution']}: {f['error']}" for f in failures
    )
    print_table("parts", ["name", "kind", "version", "from", "what"], rows, note)
