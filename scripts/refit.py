"""Fit everything that belongs to a trunk anew: contexts, syntheses, the MS-SSIM transform. One command after a trunk's leg.

    python scripts/refit.py runs/balanced/weights.safetensors --data DATA
    python scripts/refit.py --data DATA --only fast distilled      # a second helping
    python scripts/refit.py --table                                # only the table of profiles/weights/README.md

Puts the trunk into profiles/weights, and each part in place once it is fitted; what a part begins from is the file that it
replaces, kept in runs/refit/before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "profiles" / "weights"
RUNS = ROOT / "runs" / "refit"
BEFORE = RUNS / "before"


@attrs.frozen
class Part:
    """What is fitted on a trunk: the licframe command, its minutes, and the option that names where it begins."""

    command: str
    minutes: float
    begin: str | None = "--context"


_FIT = "--fit context --start {trunk} --latents 1500"
# Longest first, so that the cores end together
PARTS = {
    "ms-ssim": Part("train ms_ssim --fit transform --start {trunk} --rate 0.6", 18, begin=None),
    "fast": Part(
        "train balanced --set context_scheduler.groups=[24] --set context_scheduler.levels=3 "
        "--set context_scheduler.width=160 --set context_scheduler.hidden=160 "
        f"--set context_scheduler.blocks=1 {_FIT} --rate 0.5",
        12,
    ),
    "distilled": Part("distill fast --latents 2500 --rate 0.6", 12, "--start"),
    "checkerboard": Part(f"train checkerboard {_FIT} --rate 0.4", 4),
    "mixture": Part(
        f"train balanced --set entropy_model.plugin=gaussian-mixture {_FIT} --rate 0.3", 3, begin=None
    ),
    "serial": Part(f"train serial {_FIT} --rate 0.3", 2),
    "hyperprior": Part(f"train balanced --set context_scheduler.plugin=hyperprior {_FIT} --rate 0.3", 2),
    "deformable": Part("distill deformable --limit 250 --latents 400 --rate 0.2", 1.5, begin=None),
}


def fit(name: str, data: list[Path], factor: float, threads: int) -> None:
    """Run one part's command and put what it made in place.

    Raises:
        SystemExit: the command failed; its output is in the run folder.
    """
    part, folder, file = PARTS[name], RUNS / name, f"balanced+{name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    trunk = WEIGHTS / "balanced.safetensors"
    command = [sys.executable, "-m", "licframe", *part.command.format(trunk=trunk).split()]
    command += ["--folder", str(folder), "--minutes", f"{part.minutes * factor:g}"]
    if part.begin is not None:
        command += [part.begin, str(BEFORE / file)]
    for path in data:
        command += ["--data", str(path)]
    print(f"{name}: licframe {' '.join(command[3:])}", flush=True)
    with (folder / "output.txt").open("w") as output:
        done = subprocess.run(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{name} failed; see {folder / 'output.txt'}")
    shutil.copyfile(folder / "weights.safetensors", WEIGHTS / file)
    print(f"{name}: done", flush=True)


def table(text: str) -> str:
    """Return profiles/weights/README.md with patches, minutes and hash of each row as the files have them."""

    def row(match: re.Match[str]) -> str:
        cells = [cell.strip() for cell in match[0].strip("|").split("|")]
        path = WEIGHTS / f"{cells[0].strip('`')}.safetensors"
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        training = json.loads(header["__metadata__"]["licframe"])["training"]
        cells[3] = f"{training['patches']:,}"
        cells[4] = f"{training['minutes']:g}"
        cells[-1] = f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`"
        return f"| {' | '.join(cells)} |"

    return re.sub(r"^\| `[\w+-]+` \|.*\|$", row, text, flags=re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trunk", type=Path, nargs="?")
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--factor", type=float, default=1.0, help="of all minutes")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at once; cores are shared out")
    parser.add_argument("--table", action="store_true", help="fit nothing")
    args = parser.parse_args()
    if not args.table:
        if not args.data:
            parser.error("name the training data with --data")
        shutil.rmtree(BEFORE, ignore_errors=True)
        shutil.copytree(WEIGHTS, BEFORE)
        if args.trunk is not None:
            shutil.copyfile(args.trunk, WEIGHTS / "balanced.safetensors")
        threads = max(1, (os.cpu_count() or 1) // args.jobs)
        with ThreadPoolExecutor(args.jobs) as pool:
            for done in [pool.submit(fit, name, args.data, args.factor, threads) for name in args.only]:
                done.result()
    page = WEIGHTS / "README.md"
    page.write_text(table(page.read_text()))


if __name__ == "__main__":
    main()
