"""Coverage-guided fuzzing of the container and the coder with atheris (pip install atheris).

    python docs/tools/fuzz.py --seconds 600

Starts from the golden files. Bytes behind the first eight are taken as they are, and once more with all checksums
mended, so that the search gets past them.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["licframe"]):
    from licframe.bitstream import container
    from licframe.codec.latent import LatentCodec
    from licframe.codec.loading import load_latent
    from licframe.errors import LicframeError
    from licframe.picture import alpha
    from licframe.runtime.limits import Limits

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
LIMITS = Limits(pixels=2**12)


def mended(data: bytes) -> bytes:
    """Return the file with every chunk's checksum made right, as far as its lengths make sense."""
    out, offset = bytearray(data[:8]), 8
    while offset < len(data):
        try:
            start, end = container.extent(data, offset)
        except LicframeError:
            break
        out += container.chunk(data[offset : offset + 1], data[start:end])
        offset = end + 4
    return bytes(out)


def attempt(codec: LatentCodec, data: bytes) -> None:
    with contextlib.suppress(LicframeError):
        codec.decode(data, LIMITS)
    with contextlib.suppress(LicframeError):
        codec.decode_preview(data, 0, LIMITS)
    with contextlib.suppress(LicframeError):
        file = container.read(data, LIMITS, best_effort=True)
        if file.alpha is not None:
            alpha.decode(file.alpha, file.header.height, file.header.width, file.header.depth)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=600)
    args = parser.parse_args()
    codec = load_latent("tiny")

    def one_input(data: bytes) -> None:
        attempt(codec, data)
        attempt(codec, mended(container.MAGIC + bytes([container.VERSION]) + data[8:]))

    with tempfile.TemporaryDirectory() as corpus:
        for path in GOLDEN.glob("*.lic"):
            shutil.copy(path, corpus)
        flags = [f"-max_total_time={args.seconds}", "-max_len=2048", "-timeout=10", "-rss_limit_mb=4096"]
        atheris.Setup([sys.argv[0], *flags, corpus], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
