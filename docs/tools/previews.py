"""Quality of previews: what the first bytes of a file show, and what is left without the finest levels.

    python docs/tools/previews.py --data data/

writes docs/results/previews.json; ``results.py --tables`` draws it. PSNR over 8-bit RGB, means of the pictures, each file cut
where the share of its bytes ends.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from licframe.bitstream import container
from licframe.codec.loading import load_latent
from licframe.codec.target import Target
from licframe.picture.images import read_picture
from licframe.runtime.atomic import write_json

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "previews.json"
PROFILE = "balanced"
# The hardest of Kodak, the median in rate, and an easy one
IMAGES = ("kodim13", "kodim22", "kodim23")
QUALITIES = (20, 50, 95)
SHARES = (0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1)
# Those of the table; between two a file may have no further whole step
SHOWN = (0.1, 0.25, 0.5, 0.75, 1)
LEFT_OUT = (1, 2, 3, 4)


def measured(folder: Path, quality: int) -> dict[str, object]:
    """Return mean bytes and PSNR of files of a quality."""
    codec = load_latent(PROFILE)
    sizes, by_share, by_level = [], [], []
    for name in IMAGES:
        picture = read_picture(folder / f"{name}.png")
        data = codec.encode(picture, Target(quality=quality)).data
        cuts = [codec.decode_preview(data[: round(share * len(data))]) for share in SHARES]
        coarse = [codec.decode_preview(data, number) for number in LEFT_OUT]
        sizes.append(len(data))
        by_share.append([picture.psnr(decoded.picture.pixels) for decoded in cuts])
        by_level.append([picture.psnr(decoded.picture.pixels) for decoded in coarse])
    shown = [SHARES.index(share) for share in SHOWN]
    return {
        "quality": quality,
        "details": bool(container.read(data).details),
        "bytes": round(float(np.mean(sizes))),
        "psnr_by_share": np.mean(by_share, 0).round(3).tolist(),
        "rises_for_all": bool((np.diff(np.array(by_share)[:, shown]) > 0).all()),
        "falls_for_any": bool((np.diff(by_share) < 0).any()),
        "psnr_by_levels_left_out": np.mean(by_level, 0).round(3).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds kodak/")
    args = parser.parse_args()
    files = [measured(args.data / "kodak", quality) for quality in QUALITIES]
    record = {
        "profile": PROFILE,
        "images": IMAGES,
        "shares": SHARES,
        "shown": SHOWN,
        "levels_left_out": LEFT_OUT,
    }
    write_json(OUTPUT, {**record, "files": files})


if __name__ == "__main__":
    main()
