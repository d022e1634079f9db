"""``licframe verify``: are .lic files whole?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from licframe.cli import streams
from licframe.cli.options import Device, Json, Limit, Quiet, print_json
from licframe.runtime.limits import DEFAULT


def verify(
    files: Annotated[list[Path], typer.Argument(help=".lic files; - is standard input.")],
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="Profile that has the weights, if not a shipped one."),
    ] = None,
    device: Device = "cpu",
    limit: Limit = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check .lic files: every checksum, every symbol.

    Symbols are decoded and compared with the digest in the file. The picture is not made.

    Example: licframe verify small/*.lic
    """
    from licframe.bitstream import container
    from licframe.errors import LicframeError

    limits = DEFAULT.with_settings(limit or [])
    inputs = streams.sources(files)
    say = streams.reporter([], quiet, as_json)
    codecs: dict[tuple[str, bytes], Any] = {}
    records: list[dict[str, Any]] = []

    def work(number: int) -> None:
        source = inputs[number]
        record: dict[str, Any] = {"file": str(source), "sound": False}
        records.append(record)
        try:
            data = streams.read_lic(source, limits)
            header = container.read(data, limits).header
            made_by = header.codec, header.fingerprint
            if made_by not in codecs:
                from licframe.codec.loading import load_for

                codecs[made_by] = load_for(header, profile, device=device)
            codecs[made_by].verify(data, limits)
        except LicframeError as error:
            record["error"] = str(error)
            raise
        record["sound"] = True
        say(f"{source}: sound")

    try:
        streams.for_each(inputs, range(len(inputs)), work)
    finally:
        if as_json:
            print_json(records)
