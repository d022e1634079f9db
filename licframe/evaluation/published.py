"""Published rate-distortion curves that come with licframe: facts, each with its source."""

from __future__ import annotations

from pathlib import Path

from licframe.errors import ResultsError
from licframe.evaluation.results import Results, load

_FOLDER = Path(__file__).parent / "data" / "published"


def published(dataset: str) -> dict[str, Results]:
    """Return the published curves of a data set by name; empty where there are none."""
    return {path.stem: load(path) for path in sorted((_FOLDER / dataset).glob("*.json"))}


def curve(dataset: str, name: str) -> Results:
    """Return one published curve.

    Raises:
        ResultsError: there is none of that name.
    """
    known = published(dataset)
    if name not in known:
        raise ResultsError(f'no published curve "{name}" on {dataset}; known: {", ".join(known) or "none"}')
    return known[name]
