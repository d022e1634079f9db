"""``licframe run``: compress, decompress and measure one image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from licframe.cli import streams
from licframe.cli.options import (
    Bpp,
    Device,
    Json,
    Limit,
    Overrides,
    Overwrite,
    Psnr,
    Quality,
    Size,
    Ssimulacra2,
    print_json,
    print_table,
)
from licframe.runtime.limits import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from licframe.picture.images import Picture


def run(
    profile: Annotated[str, typer.Argument(help="A TOML file, or the name of a shipped profile.")],
    image: Annotated[
        Path | None, typer.Argument(help="A picture; a sample, which is computed, if left out.")
    ] = None,
    quality: Quality = None,
    bpp: Bpp = None,
    size: Size = None,
    psnr: Psnr = None,
    ssimulacra2: Ssimulacra2 = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path(
        "licframe-out"
    ),
    overrides: Overrides = None,
    device: Device = "cpu",
    metric: Annotated[
        str, typer.Option("--metrics", help="Comma-separated: psnr, ms_ssim, ssimulacra2; or all.")
    ] = "psnr,ms_ssim",
    overwrite: Overwrite = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Compress one picture, decompress it, and measure both.

    The picture is decompressed from the file alone. Writes the .lic file, the reconstruction, and a picture of
    original, reconstruction and error side by side.

    Example: licframe run balanced photo.png -q 40 -o out/
    """
    from licframe.codec.target import Target
    from licframe.profile.profile import load_profile

    target = Target(quality=quality, bpp=bpp, size=size, psnr=psnr, ssimulacra2=ssimulacra2)
    wanted = _metrics(metric)
    checked = load_profile(profile, overrides or ())

    from licframe.codec.loading import load
    from licframe.codec.notes import of_profile
    from licframe.evaluation.datasets import sample_picture
    from licframe.picture import images
    from licframe.runtime.atomic import write_atomically

    source = image or sample_picture()
    decoded_file, comparison_file = _files(source, output, (".decoded.png", ".comparison.png"), overwrite)
    limits = DEFAULT.with_settings(limit or [])
    picture = images.read_picture(source, limits)
    codec = load(checked, device=device)
    (file,) = _files(source, output, (codec.suffix,), overwrite)
    encoded = codec.encode(picture, target)
    write_atomically(file, encoded.data)
    data = file.read_bytes()
    decoded = codec.decode(data, limits)
    shown = decoded.picture
    if shown.mode != picture.mode or shown.depth != picture.depth:  # a codec that keeps less than that
        picture = picture.to_rgb()
    shown.save(decoded_file)
    side_by_side(picture, shown).save(comparison_file)

    width, height = picture.size
    scores, why_not = _scores(wanted, picture, shown)
    png_bytes = len(picture.encode(".png", small=True))
    fidelity = picture.psnr(shown.pixels)
    said = list(dict.fromkeys([*encoded.notes, *of_profile(checked, fidelity, encoded.quality)]))
    result: dict[str, Any] = {
        "profile": checked.name,
        "image": str(source),
        "width": width,
        "height": height,
        "quality": encoded.quality,
        "lossless": encoded.lossless,
        "notes": said,
        "bytes": len(data),
        "bpp": 8 * len(data) / (width * height),
        "psnr_db": fidelity,
        **scores,
        "encode_seconds": sum(encoded.seconds.values()),
        "decode_seconds": sum(decoded.seconds.values()),
        "png_bytes": png_bytes,
        "smaller_than_png": png_bytes / len(data),
        "encode_stages": encoded.seconds,
        "decode_stages": decoded.seconds,
        "output": str(output),
    }
    if as_json:
        print_json(result)
        return
    wrote = f"wrote {file.name}, {source.stem}.decoded.png and .comparison.png into {output}"
    below = "\n".join([*(f"note: {note}" for note in said), wrote])
    print_table(f"licframe {checked.name}", ["", "measured"], _rows(result, source.name, why_not), below)


def _files(source: Path, output: Path, endings: Sequence[str], overwrite: bool) -> list[Path]:
    """Return where results are written, which may be there already only if they may be overwritten."""
    paths = [output / f"{source.stem}{ending}" for ending in endings]
    streams.to_write([source], paths, overwrite=overwrite)
    return paths


def _metrics(names: str) -> list[str]:
    """Return the metrics asked for; PSNR is always shown."""
    from licframe.errors import UsageError
    from licframe.evaluation.metrics import METRICS

    wanted = list(METRICS) if names.strip() == "all" else [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in METRICS]
    if unknown:
        raise UsageError(f"--metrics {names}: no metric {unknown[0]}; use {', '.join(METRICS)} or all")
    return [name for name in METRICS if name in wanted and name != "psnr"]


def _scores(
    names: Sequence[str], picture: Picture, shown: Picture
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the value of each metric, and why those that are None were not measured."""
    from licframe.evaluation.metrics import METRICS, why_not

    # What nobody sees is not kept.
    hidden = picture.alpha is not None and picture.alpha.any()
    reasons = {
        n: "the picture has transparent pixels" if hidden else why_not(n, *picture.size) for n in names
    }
    scores = {n: None if reasons[n] else METRICS[n].measure(picture.pixels, shown.pixels) for n in names}
    return scores, reasons


def _rows(result: dict[str, Any], name: str, why_not: dict[str, str]) -> list[list[str]]:
    """Return the table that is shown.

    Args:
        why_not: why metrics were not measured.
    """
    from licframe.evaluation.metrics import METRICS

    def value(metric: str) -> str:
        found = result[metric]
        if found is None:
            return f"not measured: {why_not[metric]}"
        scale = METRICS[metric]
        return scale.shown(found) + (f" ({scale.scaled(found):.2f} {scale.unit})" if scale.unit else "")

    rate = f"{result['bpp']:.3f} bits per pixel"
    return [
        ["image", f"{name}, {result['width']}x{result['height']}"],
        ["file", f"{result['bytes']} bytes, {rate}, quality {result['quality']}"],
        ["smaller than PNG", f"{result['smaller_than_png']:.1f} times ({result['png_bytes']} bytes)"],
        ["PSNR", f"{result['psnr_db']:.2f} dB"],
        *([METRICS[metric].label, value(metric)] for metric in why_not),
        ["encode", _stages(result["encode_stages"])],
        ["decode", _stages(result["decode_stages"])],
    ]


def side_by_side(picture: Picture, shown: Picture) -> Picture:
    """Return original, reconstruction and amplified error in one picture of 8 bits, ``(H, 3 * W + gaps, 3)``."""
    import numpy as np

    from licframe.picture.error import error_map
    from licframe.picture.images import Picture

    original, decoded = picture.to_8_bit().pixels, shown.to_8_bit().pixels
    panels = [original, decoded, error_map(original, decoded)]
    panels = [np.repeat(p[..., None], 3, 2) if p.ndim == 2 else p for p in panels]
    gap = np.full((original.shape[0], 8, 3), 255, np.uint8)
    return Picture(np.concatenate([panels[0], gap, panels[1], gap, panels[2]], 1))


def _stages(seconds: dict[str, float]) -> str:
    parts = ", ".join(f"{k} {v:.2f}" for k, v in seconds.items() if v >= 0.005)
    return f"{sum(seconds.values()):.2f} s ({parts})"
