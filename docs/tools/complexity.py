"""Measure what the shipped profiles cost, as ``licframe profiles`` shows it: profiles/complexity.json.

python docs/tools/complexity.py
"""

from __future__ import annotations

import argparse
from typing import Any

from licframe.codec.loading import build, build_filter
from licframe.evaluation.complexity import complexity
from licframe.profile.profile import latent_profile, latent_profiles, profile_folder
from licframe.runtime.atomic import write_json


def measured() -> dict[str, dict[str, Any]]:
    """Return parameters, kMAC per pixel and serial passes of the structure of every shipped profile that has one."""
    profiles = map(latent_profile, latent_profiles())
    return {p.name: complexity(build(p), build_filter(p)) for p in profiles}


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    write_json(profile_folder() / "complexity.json", measured())
