"""Packages that single features need: which extra of licframe brings each, and what is said where one is missing."""

from __future__ import annotations

import importlib
import importlib.util
from types import MappingProxyType
from typing import Any

from licframe.errors import MissingPackageError

EXTRAS = MappingProxyType(
    {
        "bjontegaard": "bench",
        "matplotlib": "plot",
        "pytorch_msssim": "ms-ssim",
        "pyvips": "16bit",
        "ray": "ray",
        "ssimulacra2": "ssimulacra2",
        "starlette": "demo",
        "tensorboard": "train",
        "uvicorn": "demo",
        "webdataset": "stream",
    }
)
"""The extra that brings each module."""


def installed(module: str) -> bool:
    """Say whether a module of ``EXTRAS`` can be found; nothing is imported."""
    return importlib.util.find_spec(module) is not None


def install(module: str) -> str:
    """Return the command that brings a module of ``EXTRAS``."""
    return f'pip install "licframe[{EXTRAS[module]}]"'


def require(module: str, feature: str) -> Any:
    """Return a module of ``EXTRAS``, imported.

    Args:
        feature: what needs it, the subject of the error's sentence.

    Raises:
        MissingPackageError: it is not installed, or a library of the system that it needs is missing.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        package = module.replace("_", "-")
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        why = "is not installed" if absent else f"cannot be loaded here ({error})"
        raise MissingPackageError(
            f"{feature} needs the package {package}, which {why}; {install(module)}"
        ) from error
