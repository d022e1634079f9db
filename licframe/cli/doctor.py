"""``licframe doctor``: does licframe work on this machine?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from licframe.cli.options import Device, Json, print_json, print_table

if TYPE_CHECKING:
    from licframe.codec.interface import ImageCodec


def doctor(device: Device = "auto", as_json: Json = False) -> None:
    """Check whether licframe works on this machine.

    Looks at versions, plugins and weights, and whether files decode the same in several settings: about a minute of
    processor time.

    Example: licframe doctor --device cpu
    """
    import platform
    import tempfile
    from importlib.metadata import version

    from licframe.codec.loading import load
    from licframe.errors import LicframeError
    from licframe.exact.devices import device_named
    from licframe.profile.profile import LatentProfile, load_profile, shipped_profiles
    from licframe.profile.weights import find
    from licframe.registry.discovery import registry
    from licframe.testing import exactness

    there = device_named(device)
    packages = ("torch", "numpy", "constriction", "pillow", "safetensors")
    checks = [("python", True, f"{platform.python_version()}, {platform.machine()}")]
    checks += [(name, True, version(name)) for name in packages]
    checks.append(("device", True, f"{there}, float64 products are exact"))
    failures = registry().failures
    checks.append(
        ("plugins", not failures, "; ".join(f"{f.plugin}: {f.error}" for f in failures) or "all load")
    )
    usable: dict[str, str] = {}
    for name in shipped_profiles():
        try:
            profile = load_profile(name)
            if not isinstance(profile, LatentProfile):
                checks.append((f"profile {name}", *_round_trip(load(profile))))
                continue
            path = profile.weights_path
            if path is None:
                checks.append((f"profile {name}", False, "names no weights"))
                continue
            fingerprint = find(path, profile.structure()).record["fingerprint"]
            usable.setdefault(fingerprint, name)
            checks.append((f"profile {name}", True, f"weights {fingerprint[:12]}"))
        except LicframeError as error:
            checks.append((f"profile {name}", False, str(error)))
    with tempfile.TemporaryDirectory() as folder:
        tried = exactness.SMALL if there.type == "cpu" else (*exactness.SMALL, there.type)
        settings = {k: exactness.SETTINGS[k] for k in tried}
        images = exactness.sample_images(2, 96)
        reports = exactness.matrix(list(usable.values()), images, settings, Path(folder))
    for name, report in reports.items():
        said = f"{report.pairs - len(report.failures)} of {report.pairs} pairs of settings agree"
        checks.append((f"exactness {name}", not report.failures, "; ".join([said, *report.failures[:2]])))
    healthy = all(good for _, good, _ in checks)
    if as_json:
        print_json(
            {"healthy": healthy, "checks": [{"name": n, "good": g, "detail": d} for n, g, d in checks]}
        )
    else:
        rows = [[name, "ok" if good else "FAILED", said] for name, good, said in checks]
        print_table("doctor", ["check", "", "found"], rows)
    if not healthy:
        raise typer.Exit(1)


def _round_trip(codec: ImageCodec) -> tuple[bool, str]:
    """Return whether a codec without weights shows a picture again, and what was found."""
    from licframe.picture.images import from_array
    from licframe.testing.exactness import sample_images

    (pixels,) = sample_images(1, 96)
    picture = from_array(pixels)
    shown = codec.decode(codec.encode(picture).data).picture
    if shown.samples.shape != picture.samples.shape:
        return False, f"a picture of {picture.samples.shape} came back as {shown.samples.shape}"
    fidelity = picture.psnr(shown.pixels)
    if codec.capabilities.lossless:
        return fidelity == float("inf"), f"a round trip without loss, {codec.version}"
    return fidelity > 20, f"a round trip at {fidelity:.1f} dB, {codec.version}"
