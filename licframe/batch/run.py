"""A batch: all files of a folder through an engine, every result written and recorded, what fails collected.

Workers only read. All that is written, this process writes: first the result under a name of its own, then the line of the
manifest, then the result takes its place. So every result that is there is known by its hash, at whatever moment the
program is killed.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from licframe.batch.coding import Coder, Fetched, Job, Jobs, Outcome, sha256, sha256_of
from licframe.batch.engines import Engine, Lost
from licframe.batch.files import Pair, check_outputs
from licframe.batch.manifest import NAME, Entry, Manifest
from licframe.errors import FileError, LicframeError, LicframeWarning
from licframe.runtime.atomic import remove_partials, written_whole

_FULL = (errno.ENOSPC, errno.EDQUOT)


@attrs.define
class Tally:
    """What a batch has come to.

    Attributes:
        files: all; done: made now; unchanged: made before; failed: exit codes, by number of the file.
        bytes, pixels: of what was made now.
    """

    files: int
    done: int = 0
    unchanged: int = 0
    failed: dict[int, int] = attrs.field(factory=dict)
    bytes: int = 0
    pixels: int = 0
    begin: float = attrs.field(factory=time.monotonic)

    @property
    def ended(self) -> int:
        """Files of which it is known what became of them."""
        return self.done + self.unchanged + len(self.failed)

    @property
    def seconds(self) -> float:
        """Time since the batch began."""
        return time.monotonic() - self.begin

    @property
    def rate(self) -> float:
        """Files that were made, a second."""
        return self.done / max(self.seconds, 1e-9)

    @property
    def exit_code(self) -> int:
        """That of the first file that failed, in the order of names; 0 if none did."""
        return self.failed[min(self.failed)] if self.failed else 0


@attrs.frozen(kw_only=True)
class Batch:
    """What is to be done.

    Attributes:
        source, destination: folders; pairs: files in them.
        settings: of the coder; overwrite: replace what is there, and what other settings made.
    """

    source: Path
    destination: Path
    pairs: Sequence[Pair]
    coder: Coder
    settings: Mapping[str, Any] = attrs.field(init=False)
    overwrite: bool = False

    @settings.default
    def _(self) -> Mapping[str, Any]:
        return self.coder.settings()

    @property
    def manifest(self) -> Path:
        """Where the record is."""
        return self.destination / NAME

    def run(self, engine: Engine, told: Callable[[Tally, LicframeError | None], None]) -> Tally:
        """Do what is not done yet.

        Args:
            told: called whenever it is known what became of a file, with its error if there is one.

        Raises:
            UsageError: with these settings the batch cannot go on, or an input would be replaced.
            FileError: something is in the way; the disk is full, or the manifest cannot be written.
            LicframeError: the codec cannot be had, or workers cannot be started.
        """
        goes_on = self.manifest.exists()
        outputs = [self.destination / pair.output for pair in self.pairs]
        check_outputs(
            [self.source / pair.input for pair in self.pairs],
            outputs,
            replace=self.overwrite or goes_on,
        )
        with Manifest(self.manifest) as manifest:
            if not self.overwrite:
                manifest.check(self.settings)
            remove_partials([*outputs, self.manifest])
            jobs = [self._job(pair, manifest.entries.get(pair.input)) for pair in self.pairs]
            tally = Tally(len(jobs))
            tasks = Fetched(jobs) if engine.elsewhere else jobs
            with closing(engine.run(Jobs(self.coder), tasks)) as results:
                for number, outcome in results:
                    told(tally, self._end(number, outcome, manifest, tally))
            manifest.settle()
        return tally

    def _job(self, pair: Pair, entry: Entry | None) -> Job:
        done = None
        if entry is not None and entry.error is None and entry.settings == self.settings:
            done = entry.input_sha256, entry.output_sha256
        source = self.source / pair.input
        return Job(source.absolute(), str(source), (self.destination / pair.output).absolute(), done)

    def _end(
        self, number: int, outcome: Outcome | Lost, manifest: Manifest, tally: Tally
    ) -> LicframeError | None:
        """Write what was made of a file, and record what became of it; return the error, if there is one."""
        pair = self.pairs[number]
        try:
            if isinstance(outcome, Lost):
                raise LicframeError(
                    f"{self.source / pair.input}: its worker died twice, as if killed or out of memory; the same command "
                    "tries it again"
                )
            if outcome.error is not None:
                raise outcome.error
            if outcome.coded is None:
                tally.unchanged += 1
            else:
                self._write(pair, self._entry(pair, outcome), outcome.coded.data, manifest)
                tally.done += 1
                tally.bytes += len(outcome.coded.data)
                tally.pixels += outcome.coded.width * outcome.coded.height
        except LicframeError as failure:
            if _full(failure):
                raise FileError(
                    f"{failure}; {tally.done + tally.unchanged} of {tally.files} files are done; make room, and run the "
                    "same command again"
                ) from failure
            tally.failed[number] = failure.exit_code
            manifest.append(self._failed(pair, outcome, str(failure), manifest))
            return failure
        return None

    def _failed(self, pair: Pair, outcome: Outcome | Lost, error: str, manifest: Manifest) -> Entry:
        there = sha256_of(self.destination / pair.output)
        return Entry(
            input=pair.input,
            output=pair.output,
            error=error,
            input_sha256=outcome.input_sha256 if isinstance(outcome, Outcome) else None,
            output_sha256=there if there in manifest.written.get(pair.output, ()) else None,
            settings=dict(self.settings),
        )

    def _write(self, pair: Pair, entry: Entry, data: bytes, manifest: Manifest) -> None:
        path = self.destination / pair.output
        if path.exists() and not self.overwrite:
            there = sha256_of(path)
            # equal bytes are ours, too: a crash of the machine may have lost their line
            if there != entry.output_sha256 and there not in manifest.written.get(pair.output, ()):
                raise FileError(
                    f"{path} exists, and this batch did not write it; move it away, or replace it with --overwrite"
                )
        with written_whole(path) as partial:
            partial.write_bytes(data)
            manifest.append(entry)

    def _entry(self, pair: Pair, outcome: Outcome) -> Entry:
        coded = outcome.coded
        assert coded is not None
        warned = [text for category, text in outcome.warned if issubclass(category, LicframeWarning)]
        return Entry(
            input=pair.input,
            output=pair.output,
            input_sha256=outcome.input_sha256,
            output_sha256=sha256(coded.data),
            input_bytes=outcome.input_bytes,
            bytes=len(coded.data),
            width=coded.width,
            height=coded.height,
            bpp=coded.bpp,
            quality=coded.quality,
            lossless=coded.lossless,
            psnr_db=coded.psnr,
            seconds=round(outcome.seconds, 3),
            notes=[*warned, *coded.notes],
            codec=coded.codec,
            settings=dict(self.settings),
        )


def _full(error: BaseException | None) -> bool:
    """Say whether an error is that of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False
