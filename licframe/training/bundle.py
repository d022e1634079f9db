"""A training run in a folder: code, wheels, start weights and pictures, for a machine without network.

The folder holds parts of at most 40 MiB each, so that they can be carried one by one, and ``run.sh``::

    bash run.sh gather              # take in the parts that are here; again when more have come
    bash run.sh train OUT 9.5       # install from them, train 9.5 minutes, leave what was made in OUT
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from licframe.errors import FileError, LicframeError, UsageError
from licframe.profile import weights
from licframe.profile.profile import LatentProfile, Weights
from licframe.runtime.atomic import make_folder, write_atomically
from licframe.training.pictures import find_pictures
from licframe.training.schedule import Schedule

PART = 40 * 2**20
"""Largest size of a part, in bytes."""

WHEELS = ("cattrs", "constriction>=0.5,<0.6", "entrypoints", "pillow>=11.3", "pytorch-msssim", "tomli-w")
"""What training needs beside torch, numpy, typer, rich, attrs, pluggy and safetensors, which are expected there."""

_RUN = """\
#!/usr/bin/env bash
# A training run without network. usage: run.sh gather | run.sh train OUT [MINUTES [more options of licframe train]]
# Python {python} with torch, numpy, typer, rich, attrs, pluggy and safetensors must be there. LICFRAME_WORK: where to work.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
work="${{LICFRAME_WORK:-$here/work}}"
case "${{1:-}}" in
gather)
    mkdir -p "$work"
    for part in "$here"/part-*; do [ -e "$part" ] && mv "$part" "$work/"; done
    ls "$work" ;;
train)
    [ $# -ge 2 ] || {{ sed -n 2p "$0" >&2; exit 2; }}
    out="$2" minutes="${{3:-{minutes:g}}}"
    shift; shift; [ $# -gt 0 ] && shift
    base="$work/part-00" site="$work/site"
    [ -d "$base" ] || {{ echo "no parts in $work; run first: bash $0 gather" >&2; exit 2; }}
    python3 -c 'import sys; sys.exit(sys.version_info[:2] != ({comma}))' || {{ echo "python3 must be {python}" >&2; exit 2; }}
    python3 -c 'import torch, numpy, typer, rich, attrs, pluggy, safetensors'
    mkdir -p "$out" "$work/pictures"
    cp -f "$work"/part-*/*.tar "$work/pictures/"
    if [ ! -e "$site/.installed" ]; then
        python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$base"/wheels/*.whl
        cp -r "$base"/site/. "$site/"
        touch "$site/.installed"
    fi
    PYTHONPATH="$site" PYTHONUNBUFFERED=1 python3 -m licframe train "$base/{profile}.toml" --data "$work/pictures" \\
        --folder "$work/run" --minutes "$minutes" {options} "$@"
    for made in weights.safetensors undecayed.safetensors log.jsonl summary.md profile.toml environment.json; do
        cp "$work/run/$made" "$out/"
    done
    ls -l "$out" ;;
*)
    sed -n 2,3p "$0"; exit 2 ;;
esac
"""


def make_bundle(
    profile: LatentProfile,
    data: Sequence[Path],
    folder: Path,
    start: Path | None,
    schedule: Schedule,
    *,
    more: Sequence[str] = (),
    pictures: int = 160 * 2**20,
    python: str = "3.12",
) -> Iterator[str]:
    """Write a bundle; yield a line about each part.

    Args:
        start: weights to begin from, whole; None begins from the linear codec of the pictures.
        more: options of ``licframe train`` for ``run.sh``.
        pictures: bytes of pictures at most.
        python: version of Python on the other machine, which runs Linux on x86-64.

    Raises:
        FileError: the folder is not empty. UsageError: ``start`` is not whole.
        LicframeError: wheels cannot be had, or something is larger than a part.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileError(f"{folder} is not empty; name a new folder for the bundle")
    if start is not None and len(weights.find(start, profile.structure()).files) > 1:
        raise UsageError(f"{start} is a part of other weights; a bundle begins from whole ones")
    base = folder / "part-00"
    make_folder(base)
    _copy_code(base / "site")
    _fetch_wheels(base / "wheels", python)
    own = attrs.evolve(profile, weights=Weights("start.safetensors" if start else ""))
    write_atomically(base / f"{profile.name}.toml", own.to_toml())
    options = [f"--batch {schedule.batch}", f"--rate {schedule.rate:g}", f"--decay {schedule.decay:g}"]
    if schedule.crop_share:
        options += [f"--crop {schedule.crop}", f"--crop-share {schedule.crop_share:g}"]
    options += more
    if start is not None:
        shutil.copyfile(start, base / "start.safetensors")
        options.append('--start "$base/start.safetensors"')
    write_atomically(
        folder / "run.sh",
        _RUN.format(
            python=python,
            comma=python.replace(".", ", "),
            profile=profile.name,
            minutes=schedule.minutes,
            options=" ".join(options),
        ),
    )
    size = sum(path.stat().st_size for path in base.rglob("*") if path.is_file())
    if size > PART:
        raise LicframeError(f"code, wheels and weights are {size / 2**20:.0f} MiB, above a part's 40")
    yield f"{base}: code, wheels, start weights, {size / 2**20:.1f} MiB"
    yield from _pack_pictures(data, folder, pictures)
    yield f"{folder / 'run.sh'}: bash run.sh gather; bash run.sh train OUT [MINUTES]; it will run"
    yield f"  licframe train {profile.name} --minutes {schedule.minutes:g} {' '.join(options)}"


def _copy_code(site: Path) -> None:
    """Copy licframe, every distribution that plugs into it, and the entry points by which they are found."""
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        modules = {
            e.value.split(":")[0].split(".")[0] for e in distribution.entry_points if e.group == "licframe"
        }
        if not modules:
            continue
        if name == "licframe":
            modules.add("licframe")
        for module in modules:
            found = importlib.util.find_spec(module)
            if found is None or not found.submodule_search_locations:
                raise LicframeError(f"cannot find the package {module} of {name}; reinstall {name}")
            _copy_tree(Path(found.submodule_search_locations[0]), site / module)
        info = site / f"{name}-{distribution.version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        for file in ("METADATA", "entry_points.txt"):
            (info / file).write_text(distribution.read_text(file) or "")
    profiles = site / "licframe" / "profiles"
    if not profiles.exists():
        from licframe.profile.profile import profile_folder

        _copy_tree(profile_folder(), profiles)


def _copy_tree(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.svg")
    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


def _fetch_wheels(folder: Path, python: str) -> None:
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)] + ["manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--implementation", "cp", "-d", str(folder)]
    command += [word for platform in platforms for word in ("--platform", platform)]
    done = subprocess.run([*command, *WHEELS], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise LicframeError(
            f"cannot fetch wheels for Python {python}: {done.stderr.strip().splitlines()[-1:]}; try "
            f"{shlex.join([*command, *WHEELS])}"
        )


def _pack_pictures(data: Sequence[Path], folder: Path, limit: int) -> Iterator[str]:
    """Write pictures into tar files, a part each, in the order in which they are found."""
    total = count = 0
    part, room = 0, 0
    shard: tarfile.TarFile | None = None
    for file in find_pictures(data):
        size = 512 * (2 + -(-len(file.data) // 512))
        if total + size > limit:
            break
        if shard is None or size > room:
            if shard is not None:
                shard.close()
            part, room = part + 1, PART - 64 * 1024
            place = folder / f"part-{part:02d}"
            place.mkdir()
            shard = tarfile.open(place / f"pictures-{part:02d}.tar", "w")  # noqa: SIM115
        member = tarfile.TarInfo(Path(file.name).name)
        member.size = len(file.data)
        shard.addfile(member, io.BytesIO(file.data))
        total, count, room = total + size, count + 1, room - size
    if shard is not None:
        shard.close()
    yield f"{part} parts with {count} pictures, {total / 2**20:.0f} MiB"
