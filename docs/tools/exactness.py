"""Encode in every setting, decode in every setting, compare: more than 500 pairs for each profile.

    python docs/tools/exactness.py -o docs/results/exactness.json

A pair is a file and a setting that decodes it; half of the files have details where the profile has a detail layer. Symbols must be equal, pixels within one level in
fewer than 1 of 5000 samples.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import attrs

from licframe.profile.profile import latent_profiles
from licframe.runtime.atomic import write_json
from licframe.runtime.environment import environment
from licframe.testing import exactness


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="*", help="all that are shipped and have weights, if left out")
    parser.add_argument("--count", type=int, default=2, help="synthetic pictures")
    parser.add_argument("--side", type=int, default=200)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    profiles = args.profiles or latent_profiles()
    images = exactness.sample_images(args.count, args.side)
    with tempfile.TemporaryDirectory() as folder:
        reports = exactness.matrix(profiles, images, exactness.SETTINGS, Path(folder), qualities=(30, 80))
    result = {
        "environment": environment(),
        "profiles": {
            name: {
                "pairs": report.pairs,
                "failures": list(report.failures),
                "largest_share_of_samples_off_by_one": report.largest_share,
            }
            for name, report in reports.items()
        },
        "settings": {name: attrs.asdict(setting) for name, setting in exactness.SETTINGS.items()},
    }
    print(json.dumps(result, indent=1))
    if args.output:
        write_json(args.output, result)
    sys.exit(any(report.failures for report in reports.values()))


if __name__ == "__main__":
    main()
