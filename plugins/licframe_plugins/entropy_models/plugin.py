"""Registers the entropy models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from attrs.validators import and_, deep_iterable, in_, max_len, min_len

import licframe

_SINGLE = (
    ("gaussian", "Gaussian", ()),
    ("laplace", "Laplace", ()),
    ("logistic", "Logistic", ()),
    ("student-t", "StudentT", ("student",)),
)
"""Name, class and former names of each family."""
_NAMES = [one for name, _, aliases in _SINGLE for one in (name, *aliases)]
_families: Callable[[Any, Any, tuple[str, ...]], Any] = and_(
    min_len(1), max_len(16), deep_iterable(in_(_NAMES))
)


@attrs.frozen
class SingleOptions:
    """A single density has nothing to choose."""


@attrs.frozen
class MixtureOptions:
    """The components of a mixture.

    Attributes:
        families: family of each component: gaussian, laplace, logistic or student-t.
    """

    families: tuple[str, ...] = attrs.field(default=("gaussian",) * 3, validator=_families)


@attrs.frozen
class GllmmOptions(MixtureOptions):
    """The components of the GLLMM.

    Attributes:
        families: three Gaussian, three Laplace and three logistic components.
    """

    families: tuple[str, ...] = attrs.field(
        default=("gaussian",) * 3 + ("laplace",) * 3 + ("logistic",) * 3, validator=_families
    )


@licframe.hookimpl
def licframe_entropy_models() -> list[licframe.Part]:
    single = [
        licframe.Part(
            name=name,
            version=1,
            summary=f"one {name.capitalize()} density per element; 97 integer tables, 1/8 octave apart",
            options=SingleOptions,
            target=f"licframe_plugins.entropy_models.single:{class_name}",
            aliases=aliases,
        )
        for name, class_name, aliases in _SINGLE
    ]
    mixtures = [
        licframe.Part(
            name=name,
            version=1,
            summary=summary,
            options=options,
            target="licframe_plugins.entropy_models.mixture:Mixture",
        )
        for name, summary, options in (
            ("gaussian-mixture", "K Gaussians per element, three by default", MixtureOptions),
            ("gllmm", "three Gaussian, three Laplace and three logistic components", GllmmOptions),
        )
    ]
    return [*single, *mixtures]
