"""Values of TOML tables turned into checked records; a mistake is named with file, table and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import cattrs

from licframe.errors import ProfileError, suggestion


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)

    def strictly(kind: type) -> Any:
        def hook(value: Any, _: Any) -> Any:
            # bool is an int in Python, but "true" is no number in a profile
            allowed = (int, float) if kind is float else (kind,)
            if not isinstance(value, allowed) or (kind is not bool and isinstance(value, bool)):
                raise TypeError(f"expected {kind.__name__}, got {value!r}")
            return kind(value)

        return hook

    for kind in (int, float, bool, str):
        converter.register_structure_hook(kind, strictly(kind))
    return converter


def structured(value: Any, kind: type, path: Path, table: str) -> Any:
    """Return ``value`` as a checked ``kind``; errors name file, table and key."""
    try:
        if attrs.has(kind):
            names = [field.name for field in attrs.fields(kind)]
            if not isinstance(value, dict):
                raise TypeError(f"expected a table with {', '.join(names) or 'nothing'}")
            for key in value:
                if key not in names:
                    raise ProfileError(f'{path} [{table}]: unknown key "{key}"; {suggestion(key, names)}')
        return _converter().structure(value, kind)
    except ProfileError:
        raise
    except cattrs.BaseValidationError as error:
        what = "; ".join(cattrs.transform_error(error, path="", format_exception=_say))
        raise ProfileError(f"{path} [{table}]: {what}") from error
    except (TypeError, ValueError) as error:
        raise ProfileError(f"{path} [{table}]: {error}") from error


def _say(error: BaseException, _: type | None) -> str:
    """Return what a validator or hook complained about, without attrs' own objects."""
    return str(error.args[0]) if error.args else str(error)
