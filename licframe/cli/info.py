"""``licframe info``: what a .lic file says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from licframe.cli import streams
from licframe.cli.options import Json, Limit, print_json, print_table
from licframe.runtime.limits import DEFAULT


def info(
    files: Annotated[list[Path], typer.Argument(help=".lic files; - is standard input.")],
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """Show what .lic files hold, without decoding them.

    Size, quality, codec, parts, weights, side streams and metadata. Checksums are checked; symbols are not decoded.

    Example: licframe info photo.lic
    """
    from licframe.bitstream import container
    from licframe.registry.discovery import find_labelled

    limits = DEFAULT.with_settings(limit or [])
    inputs = streams.sources(files)
    records: list[dict[str, Any]] = []

    def work(number: int) -> None:
        source = inputs[number]
        data = streams.read(source)
        file = container.read(data, limits)
        header = file.header
        part = find_labelled("codec", header.codec)
        records.append(
            {
                "file": str(source),
                "bytes": len(data),
                "version": container.VERSION,
                "width": header.width,
                "height": header.height,
                "mode": header.mode,
                "depth": header.depth,
                "bpp": 8 * len(data) / (header.width * header.height),
                "quality": header.quality,
                "codec": header.codec or "latent",
                "lossless": part is not None and part.lossless,
                "profile": header.profile,
                "parts": list(header.parts),
                "weights": header.fingerprint.hex(),
                "payload_bytes": sum(len(payload) for payload, _ in file.payloads),
                "symbol_digests": [f"{digest:08x}" for _, digest in file.payloads],
                "latent_quality": header.latent_quality,
                "detail": None
                if file.detail is None
                else {
                    "quality": file.detail.quality,
                    "weights": file.detail.fingerprint.hex(),
                    "bytes": sum(len(detail.payload) for detail in file.details if detail),
                    "digests": [f"{detail.digest:08x}" for detail in file.details if detail],
                },
                "tile": file.tile or None,
                "tiles": len(file.payloads),
                "streams": {name: len(stream.data) for name, stream in file.streams.items()},
                "alpha_bytes": len(file.alpha or b""),
                "metadata": {name: len(value) for name, value in file.metadata.items()},
            }
        )
        if not as_json:
            rows = [[k, _shown(v)] for k, v in records[-1].items() if k != "file"]
            print_table(str(source), ["", ""], rows)

    try:
        streams.for_each(inputs, range(len(inputs)), work)
    finally:
        if as_json:
            print_json(records)


def _shown(value: Any) -> str:
    """Return a value of a record as a reader wants it."""
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_shown(v)}" for k, v in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
