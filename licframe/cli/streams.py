"""Where commands read from and write to: files, globs, folders, and ``-`` for standard input and output."""

from __future__ import annotations

import glob
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from licframe.errors import FileError, LicframeError, UsageError, located
from licframe.runtime.atomic import read_file, write_atomically
from licframe.runtime.limits import Limits

STREAM = Path("-")
_HEAD = 4096


def sources(arguments: Sequence[Path]) -> list[Path]:
    """Return inputs with patterns expanded, for shells that do not do that.

    Raises:
        FileError: a pattern fits nothing, or something is a folder.
    """
    found: list[Path] = []
    for argument in arguments:
        if argument.is_dir():
            raise FileError(
                f"{argument} is a folder; name the files in it, for example {argument / '*.png'}"
            )
        if argument.exists() or not glob.has_magic(str(argument)):
            found.append(argument)
            continue
        matches = sorted(glob.glob(str(argument), recursive=True))  # noqa: PTH207  (a pattern may be absolute)
        if not matches:
            raise FileError(f"no file fits the pattern {argument}")
        found += map(Path, matches)
    return found


def targets(inputs: Sequence[Path], output: Path | None, suffix: str, overwrite: bool) -> list[Path]:
    """Return where each result goes: beside its source, in a folder, the file ``output``, or ``-``.

    A path without a suffix is a folder. Standard input goes to standard output unless told otherwise.

    Raises:
        UsageError: two results would have one name. FileError: a file is there already.
    """
    names = ["stdin" + suffix if source == STREAM else source.with_suffix(suffix).name for source in inputs]
    if output is None:
        paths = [
            STREAM if source == STREAM else source.with_name(name)
            for source, name in zip(inputs, names, strict=True)
        ]
    elif output != STREAM and (output.is_dir() or not output.suffix):
        paths = [output / name for name in names]
    elif len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs do not fit into one file {output}; give a folder to -o")
    else:
        paths = [output]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"several inputs would become {path}; treat them one by one, with -o")
        if path != STREAM and path.exists() and not overwrite:
            raise FileError(f"{path} exists; name another file with -o, or replace it with --overwrite")
    return paths


def read(source: Path) -> bytes:
    """Return the bytes of a file, or of standard input."""
    return sys.stdin.buffer.read() if source == STREAM else read_file(source)


def read_lic(source: Path, limits: Limits) -> bytes:
    """Return the bytes of a .lic file; what its first bytes say is checked before the others are read."""
    from licframe.bitstream import container

    try:
        if source == STREAM:
            head, stream = sys.stdin.buffer.read(_HEAD), sys.stdin.buffer
            container.read_header(head, limits)
            return head + stream.read()
        with source.open("rb") as file:
            head = file.read(_HEAD)
            container.read_header(head, limits)
            return head + file.read()
    except OSError as error:
        raise FileError(f"cannot read {source}: {error.strerror}") from error


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, or to standard output."""
    if path == STREAM:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_atomically(path, data)


def for_each(inputs: Sequence[Path], work: Callable[[int], None]) -> None:
    """Call ``work`` with the number of each input; what fails is reported, and the rest goes on.

    Raises:
        LicframeError: the only input failed; typer.Exit: one of several did.
    """
    code = 0
    for number, source in enumerate(inputs):
        try:
            work(number)
        except LicframeError as error:
            shown = error if str(source) in str(error) else located(error, str(source))
            if len(inputs) == 1:
                raise shown from error
            typer.echo(f"licframe: {shown}", err=True)
            code = code or error.exit_code
    if code:
        raise typer.Exit(code)


def reporter(paths: Sequence[Path], quiet: bool, as_json: bool) -> Callable[[str], None]:
    """Return what prints a line of progress: to standard error where a result goes to standard output."""
    if quiet:
        warnings.simplefilter("ignore")  # also those of other packages
    if quiet or as_json:
        return lambda _: None
    return lambda line: typer.echo(line, err=STREAM in paths)
