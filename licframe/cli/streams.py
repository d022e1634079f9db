"""Where commands read from and write to: files, globs, folders, and ``-`` for standard input and output."""

from __future__ import annotations

import glob
import os
import stat
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from licframe.errors import FileError, LicframeError, UsageError, located
from licframe.runtime.atomic import read_file, write_atomically
from licframe.runtime.limits import Limits

STREAM = Path("-")
PICTURES = frozenset(
    [
        ".apng",
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jp2",
        ".jpeg",
        ".jpg",
        ".jxl",
        ".pbm",
        ".pdf",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".qoi",
        ".tga",
        ".tif",
        ".tiff",
        ".webp",
    ]
)
"""What the names of pictures end in."""
_HEAD = 4096


def sources(arguments: Sequence[Path], example: str = "*.lic") -> list[Path]:
    """Return inputs with patterns expanded, for shells that do not do that; a file that is named twice counts once.

    Args:
        example: a pattern of such inputs, for the error.

    Raises:
        FileError: a pattern fits nothing, or something is a folder.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        named = [argument]
        if os.path.isdir(argument):  # noqa: PTH112  (never raises, as is_dir does of long names)
            raise FileError(
                f"{argument} is a folder; name the files in it, for example {argument / example}"
            )
        if not os.path.exists(argument) and glob.has_magic(str(argument)):  # noqa: PTH110  (never raises)
            named = [Path(name) for name in sorted(glob.glob(str(argument), recursive=True))]  # noqa: PTH207
            if not named:
                raise FileError(f"no file fits the pattern {argument}")
        for path in named:
            found.setdefault(_place(path), path)
    return list(found.values())


def _place(path: Path) -> Path:
    """Return the one path of a name in a folder, whatever way it is written."""
    return path if path == STREAM else path.parent.resolve() / path.name


def inputs_and_output(
    files: list[Path], output: str | None, suffixes: Collection[str]
) -> tuple[list[Path], str | None]:
    """Return the inputs and the output, which may be the second of two files, as other coders have it.

    Args:
        suffixes: what outputs end in, and inputs do not.

    Raises:
        UsageError: that file exists, and may be meant as an input.
    """
    names = [path.suffix.lower() in suffixes for path in files]
    if output is not None or names != [False, True]:
        return files, output
    if os.path.exists(files[1]):  # noqa: PTH110  (never raises)
        raise UsageError(
            f"{files[1]} exists, and is no input by its name; name an output with -o {files[1]}"
        )
    return files[:1], str(files[1])


def targets(inputs: Sequence[Path], output: str | None, suffix: str) -> list[Path]:
    """Return where each result goes: beside its source, in a folder, the file ``output``, or ``-``.

    A path without a suffix, or with a slash at its end, is a folder. Standard input goes to standard output unless
    told otherwise.

    Raises:
        UsageError: two results would have one name.
    """
    names = ["stdin" + suffix if source == STREAM else source.with_suffix(suffix).name for source in inputs]
    if output is None:
        paths = [
            STREAM if source == STREAM else source.with_name(name)
            for source, name in zip(inputs, names, strict=True)
        ]
    elif _is_folder(output):
        paths = [Path(output, name) for name in names]
    elif len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs do not fit into one file {output}; give a folder to -o")
    else:
        paths = [Path(output)]
    counts = Counter(_place(path) for path in paths)
    for path in paths:
        if counts[_place(path)] > 1:
            raise UsageError(f"several inputs would become {path}; treat them one by one, with -o")
    return paths


def _is_folder(output: str) -> bool:
    if output.endswith(("/", os.sep)) or os.path.isdir(output):  # noqa: PTH112  (never raises)
        return True
    return output != "-" and not Path(output).suffix and not os.path.exists(output)  # noqa: PTH110


def _file(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISREG(found.st_mode) and path != STREAM else None


def to_write(
    inputs: Sequence[Path], paths: Sequence[Path], *, overwrite: bool, skip_existing: bool = False
) -> list[int]:
    """Return the numbers of the paths that are to be written.

    Pipes and devices hold nothing that could be lost.

    Raises:
        UsageError: one is an input, under whatever name. FileError: one is there already, and is neither to be
            replaced nor to be skipped.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite does not go with --skip-existing; leave out either")
    read_from = {_file(source) for source in inputs} - {None}
    for path in paths:
        if _file(path) in read_from:
            raise UsageError(
                f"{path} is an input, and would be replaced; name another file or folder with -o"
            )
    there = [number for number, path in enumerate(paths) if _holds_something(path)]
    if skip_existing:
        return sorted(set(range(len(paths))) - set(there))
    if there and not overwrite:
        others = f", and {len(there) - 1} more" * (len(there) > 1)
        skip = ", or leave it with --skip-existing" * (len(inputs) > 1)
        raise FileError(
            f"{paths[there[0]]} exists{others}; name another file with -o, or replace it with --overwrite{skip}"
        )
    return list(range(len(paths)))


def _holds_something(path: Path) -> bool:
    return (
        path != STREAM and os.path.exists(path) and not (path.is_fifo() or path.is_char_device())  # noqa: PTH110
    )


def read(source: Path) -> bytes:
    """Return the bytes of a file, or of standard input.

    Raises:
        FileError: it cannot be read.
    """
    return _standard_input() if source == STREAM else read_file(source)


def _standard_input(most: int = -1) -> bytes:
    if sys.stdin is None:
        raise FileError("standard input is closed; name a file")
    try:
        return sys.stdin.buffer.read(most)
    except OSError as error:
        raise FileError(f"cannot read standard input: {error.strerror}") from error


def read_lic(source: Path, limits: Limits) -> bytes:
    """Return the bytes of a .lic file; what its first bytes say is checked before the others are read."""
    from licframe.bitstream import container

    if source == STREAM:
        head = _standard_input(_HEAD)
        container.read_header(head, limits)
        return head + _standard_input()
    try:
        with source.open("rb") as file:
            head = file.read(_HEAD)
            container.read_header(head, limits)
            return head + file.read()
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise FileError(f"cannot read {source}: {getattr(error, 'strerror', None) or error}") from error


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, or to standard output.

    Raises:
        FileError: that is not possible.
    """
    if path != STREAM:
        write_atomically(path, data)
        return
    if sys.stdout is None:
        raise FileError("standard output is closed; name a file with -o")
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@contextmanager
def naming(source: Path) -> Iterator[None]:
    """Put the name of an input into errors that are raised over it."""
    try:
        yield
    except LicframeError as error:
        name = "standard input" if source == STREAM else str(source)
        raise error if name in str(error) else located(error, name) from error


def for_each(inputs: Sequence[Path], numbers: Sequence[int], work: Callable[[int], None]) -> None:
    """Call ``work`` with the numbers of inputs; what fails is reported, and the rest goes on.

    Raises:
        LicframeError: the only input failed; typer.Exit: one of several did.
    """
    code = 0
    for number in numbers:
        try:
            with naming(inputs[number]):
                work(number)
        except LicframeError as error:
            if len(inputs) == 1:
                raise
            typer.echo(f"licframe: {error}", err=True)
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
