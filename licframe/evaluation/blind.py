"""Blind comparison: a page on which people choose without knowing what they see, and what their answers say.

A page saves a JSON file of answers (schema ``licframe-blind-1``)::

    schema     "licframe-blind-1"
    title      of the page; study: a hash of all that stands in it; seed: what drew the order
    codec      the one that all others are compared with
    started    when the first answer was given, and finished, the last
    screen     width, height, and pixels of the screen for each of CSS
    trials     for each answer: picture, rate, a and b (names of codecs), bytes (of a and b), answer ("a", "b" or
               "none"), seconds, layout ("one" or "all"), scale (below 1: the pictures were shrunk to fit)
    result     wins of ``codec``, of the other, and undecided, by other codec, and p of the sign test
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
import cattrs

from licframe.codec.target import Target
from licframe.errors import ResultsError, UsageError
from licframe.evaluation.codecs import CodecUnderTest
from licframe.evaluation.comparison import Coded, Comparison, Level, compare
from licframe.evaluation.pages import address, filled
from licframe.runtime.atomic import read_file, to_json

SCHEMA = "licframe-blind-1"


@attrs.frozen
class Asked:
    """A trial to be made: a picture, what is asked of the first codec, and the name of the other."""

    path: Path
    target: Target
    other: str


def draw(
    paths: Sequence[Path], targets: Sequence[Target], others: Sequence[str], most: int, seed: int
) -> list[Asked]:
    """Return trials, all or as many as ``most``, with each target and each other codec equally often."""
    chance = random.Random(seed)
    groups = [[Asked(path, target, other) for path in paths] for target in targets for other in others]
    for group in groups:
        chance.shuffle(group)
    chance.shuffle(groups)
    rounds = [asked for same in zip(*groups, strict=True) for asked in same]
    return rounds[:most]


def compare_drawn(
    drawn: Sequence[Asked], codecs: Sequence[CodecUnderTest], progress: Callable[[int, int], None]
) -> tuple[list[Comparison], list[str]]:
    """Return the trials that were drawn, and of those left out the reason: files of the other codec are too large.

    Args:
        codecs: the first, and all others; progress: called with what is done and all there is to do.
    """
    by_name = {codec.name: codec for codec in codecs}
    wanted: dict[tuple[Path, Target], list[str]] = {}
    for asked in drawn:
        wanted.setdefault((asked.path, asked.target), []).append(asked.other)
    comparisons, left_out = [], []
    for number, ((path, target), others) in enumerate(wanted.items(), 1):
        shown = compare(path, [codecs[0], *(by_name[name] for name in others)], [target])
        (level,) = shown.levels
        first = level.coded[0]
        left_out += [
            f"{path} at {level.label}: the smallest file of {coded.codec} has {coded.size} bytes, that of "
            f"{first.codec} {first.size}"
            for coded in level.coded
            if coded.above
        ]
        kept = Level(level.label, tuple(coded for coded in level.coded if not coded.above))
        comparisons.append(attrs.evolve(shown, levels=(kept,)))
        progress(number, len(wanted))
    return comparisons, left_out


def render(comparisons: Sequence[Comparison], seed: int, title: str = "") -> str:
    """Return the page as HTML; it needs no network.

    Args:
        comparisons: each other codec of each level is a trial against the first.
        seed: draws the order of trials, and which of a pair is A.

    Raises:
        UsageError: nothing to compare.
    """
    chance, title = random.Random(seed), title or "Blind comparison"
    asked = [
        (shown, level.label, level.coded[0], other)
        for shown in comparisons
        for level in shown.levels
        for other in level.coded[1:]
    ]
    if not asked:
        raise UsageError(
            "no trials: a blind page needs pictures of two codecs at equal bytes; name more pictures, or higher rates"
        )
    chance.shuffle(asked)
    pictures: dict[str, int] = {}  # pages stay small where trials share pictures
    trials = [_trial(pictures, chance, *trial) for trial in asked]
    hidden = _hidden({"codec": asked[0][2].codec})
    study = {"title": title, "seed": seed, "hidden": hidden, "pictures": [*pictures], "trials": trials}
    study["study"] = hashlib.sha256(json.dumps(study).encode()).hexdigest()[:12]
    data = json.dumps(study).replace("<", "\\u003c")  # no name of a picture ends the script
    return filled("blind", title=html.escape(title), study=data)


def _trial(
    pictures: dict[str, int],
    chance: random.Random,
    shown: Comparison,
    rate: str,
    first: Coded,
    other: Coded,
) -> dict[str, Any]:
    pair = [first, other]
    chance.shuffle(pair)
    height, width = shown.original.shape[:2]
    addresses = [address(pixels) for pixels in (pair[0].pixels, shown.original, pair[1].pixels)]
    a, b = ({"codec": coded.codec, "bytes": coded.size} for coded in pair)
    return {
        "picture": shown.name,
        "width": width,
        "height": height,
        "shown": [pictures.setdefault(text, len(pictures)) for text in addresses],
        "hidden": _hidden({"rate": rate, "a": a, "b": b}),
    }


def _hidden(value: Any) -> str:
    """Return a value as JSON that nobody reads by looking at it."""
    return base64.b64encode(json.dumps(value).encode()).decode()


@attrs.frozen
class Answer:
    """One trial, answered; fields as in the module's text."""

    picture: str
    rate: str
    a: str
    b: str
    answer: Literal["a", "b", "none"]


@attrs.frozen
class Answers:
    """What one person answered; fields as in the module's text."""

    codec: str
    study: str
    started: str
    trials: tuple[Answer, ...]


@attrs.frozen
class Tally:
    """How often a codec was nearer to the original than another one."""

    codec: str
    other: str
    rate: str
    wins: int
    losses: int
    undecided: int

    @property
    def p(self) -> float:
        """The p-value of the two-sided sign test; the undecided do not count."""
        return sign_test(self.wins, self.losses)


def sign_test(wins: int, losses: int) -> float:
    """Return how likely a difference at least as large is where both are equally good.

    >>> sign_test(9, 1)
    0.021484375
    """
    count = wins + losses
    tail = sum(math.comb(count, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**count)


def load_answers(path: Path) -> Answers:
    """Read a file of answers.

    Raises:
        FileError: it cannot be read. ResultsError: it holds no answers.
    """
    advice = "give files that a page of licframe report --blind saved"
    data = read_file(path)
    try:
        record = json.loads(data)
        schema = record.get("schema")
        if schema != SCHEMA:
            raise ResultsError(f"{path} has schema {to_json(schema)}; expected {SCHEMA}: {advice}")
        answers = cattrs.structure(record, Answers)
    except (ValueError, TypeError, AttributeError, cattrs.BaseValidationError) as error:
        said = (
            "; ".join(cattrs.transform_error(error))
            if isinstance(error, cattrs.BaseValidationError)
            else error
        )
        raise ResultsError(f"{path} holds no answers ({said}); {advice}") from error
    for number, trial in enumerate(answers.trials, 1):
        if trial.a == trial.b or answers.codec not in (trial.a, trial.b):
            raise ResultsError(
                f"{path}: trial {number} compares {trial.a} with {trial.b}, neither or both of them "
                f"{answers.codec}, which all are compared with; {advice}"
            )
    return answers


def load_all_answers(paths: Sequence[Path]) -> list[Answers]:
    """Read files of answers, each given once.

    Raises:
        UsageError: two files hold the same answers. Others as ``load_answers``.
    """
    found: dict[tuple[str, str], Path] = {}
    answers = []
    for path in paths:
        answers.append(load_answers(path))
        before = found.setdefault((answers[-1].study, answers[-1].started), path)
        if before is not path:
            raise UsageError(f"{before} and {path} hold answers of the same sitting; leave out either")
    return answers


def tabulate(answers: Sequence[Answers]) -> list[Tally]:
    """Return a tally of each pair of codecs: of all its trials, then of each rate where there are several."""
    given: dict[tuple[str, str], dict[str, list[str]]] = {}
    for sitting in answers:
        for trial in sitting.trials:
            other = trial.b if trial.a == sitting.codec else trial.a
            nearer = {"a": trial.a, "b": trial.b}.get(trial.answer, "")
            given.setdefault((sitting.codec, other), {}).setdefault(trial.rate, []).append(nearer)
    tallies = []
    for pair, by_rate in sorted(given.items()):
        rows = {"all": [name for names in by_rate.values() for name in names]}
        if len(by_rate) > 1:
            rows |= dict(sorted(by_rate.items(), key=lambda row: _order(row[0])))
        tallies += [
            Tally(*pair, rate, *(names.count(name) for name in (*pair, ""))) for rate, names in rows.items()
        ]
    return tallies


def _order(rate: str) -> tuple[str, float]:
    """Return what sorts rates such as "0.25 bpp" and "quality 15" by kind and number."""
    words = rate.split()
    numbers = [float(word) for word in words if word.replace(".", "", 1).isdigit()]
    return " ".join(word for word in words if not word[0].isdigit()), numbers[0] if numbers else 0.0
