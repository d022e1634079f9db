"""Registers the baselines."""

from __future__ import annotations

import attrs

import licframe

_PILLOW = (
    ("jpeg", "Jpeg", "Pillow's JPEG, optimised Huffman tables, 4:2:0"),
    ("webp", "WebP", "Pillow's WebP, method 6"),
    ("avif", "Avif", "Pillow's AVIF, 4:4:4, speed 4"),
    ("avif-420", "AvifUsual", "Pillow's AVIF as it is by default, 4:2:0, speed 6"),
    ("jpeg2000", "Jpeg2000", "Pillow's JPEG 2000 (OpenJPEG)"),
    ("jxl", "JpegXl", "JPEG XL, effort 7, if pillow-jxl-plugin is installed"),
)
_COMPRESSAI = (
    ("hyperprior", "Hyperprior", "CompressAI's bmshj2018-hyperprior"),
    ("mbt2018", "Mbt2018", "CompressAI's mbt2018"),
    ("cheng2020", "Cheng2020", "CompressAI's cheng2020-anchor"),
)


@attrs.frozen
class Options:
    """A baseline is compared as it is; nothing to choose."""


@licframe.hookimpl
def licframe_codecs() -> list[licframe.Part]:
    pillow = [
        licframe.Part(name, 1, summary, Options, f"licframe_plugins.baselines.pillow:{target}")
        for name, target, summary in _PILLOW
    ]
    compressai = [
        licframe.Part(
            f"compressai-{name}",
            1,
            f"{summary}, if installed",
            Options,
            f"licframe_plugins.baselines.compressai:{target}",
        )
        for name, target, summary in _COMPRESSAI
    ]
    return [*pillow, *compressai]
