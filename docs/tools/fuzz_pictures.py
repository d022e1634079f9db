"""Read mutated pictures of fifteen formats in worker processes with little memory and time: 20,000 by default.

    python docs/tools/fuzz_pictures.py --count 20000

Every mutation must end in a picture, an ImageError or a LimitError within 2 seconds and 256 MiB beyond what the worker
holds once it has read one sound file of each kind. Any other exception, a worker that is killed, or time that runs out is a
finding; its format and operations are printed, and belong into the tests.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from licframe.errors import ImageError, LimitError
from licframe.picture.images import read_picture
from licframe.runtime.limits import Limits
from licframe.testing.mutations import BYTE_OPERATIONS

SECONDS, HARD_SECONDS, MEMORY = 2.0, 20, 256 * 2**20
LIMITS = Limits(pixels=2 * 10**6)
FORMATS = [
    "AVIF",
    "BMP",
    "DDS",
    "GIF",
    "ICO",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "QOI",
    "SGI",
    "TGA",
    "TIFF",
    "WEBP",
]


def seeds() -> dict[str, list[bytes]]:
    """Return sound files by format: grey, RGB, RGBA and palette, as far as it has them, and one with EXIF."""
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "maker", 6
    found: dict[str, list[bytes]] = {}
    for kind in FORMATS:
        for mode in ("L", "RGB", "RGBA", "P", "I;16"):
            image = Image.fromarray(pixels)
            image = (
                Image.fromarray(pixels[..., 0] * np.uint16(257)) if mode == "I;16" else image.convert(mode)
            )
            for options in ({}, {"exif": exif.tobytes()}):
                buffer = io.BytesIO()
                try:
                    image.save(buffer, kind, **options)
                except (OSError, ValueError, KeyError):  # not of that mode
                    continue
                found.setdefault(kind, []).append(buffer.getvalue())
    return found


def mutated(data: bytes, operations: list[tuple[str, int, int]]) -> bytes:
    """Return a file changed by operations on its bytes, in order."""
    out = bytearray(data)
    for name, a, b in operations:
        if out:
            BYTE_OPERATIONS[name](out, a, b)
    return bytes(out)


def outcome(data: bytes) -> str:
    """Return how reading ends; raise whatever should not be raised."""
    try:
        read_picture(data, LIMITS, first_frame=True)
    except (ImageError, LimitError) as error:
        return type(error).__name__
    return "picture"


def work(seed: int, count: int) -> None:
    """Try mutations and print a line of JSON: outcomes and slowest by format, findings."""
    warnings.simplefilter("ignore")
    files = seeds()
    for data in (data for kind in files.values() for data in kind):
        outcome(data)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = random.Random(seed)
    ends: dict[str, Counter[str]] = {kind: Counter() for kind in files}
    slowest, findings = dict.fromkeys(files, 0.0), []
    for _ in range(count):
        kind = rng.choice(list(files))
        number = rng.randrange(len(files[kind]))
        operations = [
            (rng.choice(list(BYTE_OPERATIONS)), rng.randrange(2**32), rng.randrange(2**32))
            for _ in range(rng.randint(1, 4))
        ]
        begin = time.process_time()
        signal.alarm(HARD_SECONDS)  # what hangs outside Python ends the worker
        try:
            ends[kind][outcome(mutated(files[kind][number], operations))] += 1
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            findings.append([kind, number, operations, repr(error)])
        signal.alarm(0)
        took = time.process_time() - begin
        slowest[kind] = max(slowest[kind], took)
        if took > SECONDS:
            findings.append([kind, number, operations, f"{took:.2f} s"])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
    print(json.dumps({"ends": ends, "slowest": slowest, "findings": findings, "grown_kib": grown}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=2_000, help="mutations of one worker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(args.seed, args.count)
        return
    ends: dict[str, Counter[str]] = {kind: Counter() for kind in FORMATS}
    slowest, findings, grown = dict.fromkeys(FORMATS, 0.0), [], 0
    for number in range(-(-args.count // args.batch)):
        count = min(args.batch, args.count - number * args.batch)
        words = [sys.executable, __file__, "--worker", "--count", str(count), "--seed"]
        done = subprocess.run(
            [*words, str(args.seed + number)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            findings.append(
                ["worker", args.seed + number, f"ended with {done.returncode}", done.stderr[-500:]]
            )
            continue
        record = json.loads(done.stdout)
        for kind, counts in record["ends"].items():
            ends[kind].update(counts)
            slowest[kind] = max(slowest[kind], record["slowest"][kind])
        findings += record["findings"]
        grown = max(grown, record["grown_kib"])
    names = ("picture", "ImageError", "LimitError")
    print(f"{'format':10}{'mutations':>10}" + "".join(f"{name:>12}" for name in names) + "  slowest s")
    for kind, counts in ends.items():
        shown = "".join(f"{counts[name]:12}" for name in names)
        print(f"{kind:10}{counts.total():10}{shown}{slowest[kind]:11.3f}")
    print(
        f"all: {sum(c.total() for c in ends.values())}; most memory beyond the start: {grown / 1024:.0f} MiB"
    )
    for finding in findings:
        print("finding:", *finding)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
