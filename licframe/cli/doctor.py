"""``licframe doctor``: does licframe work on this machine?"""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

import typer

from licframe.cli.options import Json, print_json, print_table


def doctor(as_json: Json = False) -> None:
    """Check versions, plugins, weights, and that files decode the same in several settings."""
    from importlib.metadata import version

    from licframe.errors import LicframeError
    from licframe.profile import load_profile, shipped_profiles
    from licframe.registry import registry
    from licframe.testing import exactness
    from licframe.weights import read_metadata

    checks: list[tuple[str, bool, str]] = [("python", True, f"{platform.python_version()}, {platform.machine()}")]
    for name in ("torch", "numpy", "constriction", "pillow", "safetensors"):
        checks.append((name, True, version(name)))
    failures = registry().failures
    checks.append(
        ("plugins", not failures, "; ".join(f"{f.plugin}: {f.error}" for f in failures) or "all load")
    )
    usable = []
    for name in shipped_profiles():
        try:
            profile = load_profile(name)
            path = profile.weights_path
            said = "names no weights" if path is None else f"weights {read_metadata(path)['fingerprint'][:12]}"
            if path is not None:
                usable.append(name)
            checks.append((f"profile {name}", path is not None, said))
        except LicframeError as error:
            checks.append((f"profile {name}", False, str(error)))
    for name in usable:
        with tempfile.TemporaryDirectory() as folder:
            settings = {k: exactness.SETTINGS[k] for k in exactness.SMALL}
            report = exactness.matrix(name, exactness.sample_images(2, 96), settings, Path(folder))
        said = f"{report.pairs - len(report.failures)} of {report.pairs} pairs of settings agree"
        checks.append((f"exactness {name}", not report.failures, "; ".join([said, *report.failures[:2]])))
    healthy = all(good for _, good, _ in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": [{"name": n, "good": g, "detail": d} for n, g, d in checks]})
    else:
        rows = [[name, "ok" if good else "FAILED", said] for name, good, said in checks]
        print_table("doctor", ["check", "", "found"], rows)
    if not healthy:
        raise typer.Exit(1)
