"""Measure what the shipped profiles cost, as ``licframe profiles`` shows it: profiles/complexity.json.

python docs/tools/complexity.py
"""

from __future__ import annotations

import argparse
from typing import Any

from licframe.evaluation.complexity import complexity
from licframe.loading import build
from licframe.profile import load_profile, profile_folder, shipped_profiles
from licframe.runtime.atomic import write_json


def measured() -> dict[str, dict[str, Any]]:
    """Return parameters, kMAC per pixel and serial passes of every shipped profile's structure."""
    return {name: complexity(build(load_profile(name))) for name in shipped_profiles()}


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    write_json(profile_folder() / "complexity.json", measured())
