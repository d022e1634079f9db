"""The record of a batch: a line of JSON for each file, which says what was done and is read to go on.

A line is appended whole when a file is done or has failed; of several lines of one file the last counts. Whatever ends
the program, at most a part of the last line is torn, and is left out when the manifest is read.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import attrs

from licframe.errors import FileError, LicframeError, UsageError
from licframe.runtime.atomic import make_folder, to_json, write_atomically

NAME = "licframe-batch.jsonl"
_SYNC_SECONDS = 1.0
"""A crash of the machine, unlike that of the program, may lose the lines of so many seconds."""


@attrs.frozen(kw_only=True)
class Entry:
    """A line of the manifest.

    Attributes:
        input, output: paths within the two folders.
        error: why it is not done; None for success. output_sha256 is then that of an earlier output, if there is one.
        bpp: rate of the ``.lic`` file; bytes: size of the output; psnr_db: where it was asked for.
        seconds: that a worker took, measuring included.
        codec: its version, with its weights; settings: what the user asked for.
    """

    input: str
    output: str
    error: str | None = None
    input_sha256: str | None = None
    output_sha256: str | None = None
    input_bytes: int | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    bpp: float | None = None
    quality: float | None = None
    lossless: bool | None = None
    psnr_db: float | None = None
    seconds: float | None = None
    notes: list[str] = attrs.field(factory=list)
    codec: str | None = None
    settings: dict[str, Any] = attrs.field(factory=dict)


_KEYS = frozenset(attrs.fields_dict(Entry))


class Manifest:
    """A manifest that is open for one batch at a time.

    Attributes:
        entries: the last line of each input.
        written: by output, the SHA-256 of all that this batch has written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.written: dict[str, set[str | None]] = {}
        make_folder(path.parent)
        try:
            self._file: IO[bytes] = path.open("a+b", buffering=0)
        except OSError as error:
            raise FileError(f"cannot write {path}: {error.strerror}") from error
        self._synced = time.monotonic()
        self._lines = 0
        try:
            _lock(self._file, path)
            self._read()
        except LicframeError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()

    def _read(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                found = json.loads(line)
                self._take(Entry(**{key: value for key, value in found.items() if key in _KEYS}))
            except (ValueError, TypeError, AttributeError) as error:
                raise FileError(
                    f"line {number} of {self.path} is none of a batch; remove it, or name another folder"
                ) from error
        if len(whole) < len(data):  # what is appended must not go on with a torn line
            self._file.truncate(len(whole))

    def _take(self, entry: Entry) -> None:
        self.entries[entry.input] = entry
        self._lines += 1
        self.written.setdefault(entry.output, set()).add(entry.output_sha256)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Refuse to go on with other settings than those of what is done.

        Raises:
            UsageError: naming what differs.
        """
        for entry in self.entries.values():
            if entry.error is None and entry.settings != settings:
                names = sorted(
                    k for k in {*entry.settings, *settings} if entry.settings.get(k) != settings.get(k)
                )
                said = [f"{k} {entry.settings.get(k)}, now {settings.get(k)}" for k in names]
                raise UsageError(
                    f"{self.path} is of a batch with other settings ({'; '.join(said)}); use those, name another folder, "
                    "or do its files again with --overwrite"
                )

    def append(self, entry: Entry) -> None:
        """Add a line.

        Raises:
            FileError: it cannot be written; the manifest is as it was.
        """
        line = (to_json(attrs.asdict(entry)) + "\n").encode()
        end = self._file.seek(0, os.SEEK_END)
        try:
            done = 0
            while done < len(line):
                done += self._file.write(line[done:]) or 0
            if time.monotonic() - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise FileError(f"cannot write {self.path}: {error.strerror}") from error
        self._take(entry)

    def settle(self) -> None:
        """Leave one line a file."""
        if self._lines > len(self.entries):
            lines = [to_json(attrs.asdict(entry)) + "\n" for entry in self.entries.values()]
            write_atomically(self.path, "".join(lines))


def _lock(file: IO[bytes], path: Path) -> None:
    """Keep a second batch off; the lock ends with the process.

    Raises:
        FileError: there is one.
    """
    try:
        import fcntl
    except ImportError:  # not every system has it
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FileError(
            f"another batch writes {path}; wait for it, or end it and run this one again"
        ) from error
    except OSError:  # nor every file system
        return
