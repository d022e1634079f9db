"""``licframe info``: what a .lic file says about itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from licframe.cli.options import Json, print_json, print_table


def info(files: Annotated[list[Path], typer.Argument(help=".lic files.")], as_json: Json = False) -> None:
    """Show size, quality, parts and checksums of .lic files, without decoding them."""
    from licframe import container
    from licframe.errors import CorruptStreamError, LicframeError, located

    records: list[dict[str, Any]] = []
    for source in files:
        try:
            data = source.read_bytes()
        except OSError as error:
            raise CorruptStreamError(f"cannot read {source}: {error.strerror}") from error
        try:
            file = container.read(data)
        except LicframeError as error:
            raise located(error, str(source)) from error
        header = file.header
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
                "profile": header.profile,
                "parts": list(header.parts),
                "weights": header.fingerprint.hex(),
                "payload_bytes": sum(len(payload) for payload, _ in file.payloads),
                "symbol_digests": [f"{digest:08x}" for _, digest in file.payloads],
                "metadata": {name: len(value) for name, value in file.metadata.items()},
            }
        )
    if as_json:
        print_json(records)
        return
    for record in records:
        print_table(record["file"], ["", ""], [[k, str(v)] for k, v in record.items() if k != "file"])
