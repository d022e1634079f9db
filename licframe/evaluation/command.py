"""Any command-line program as a codec, described by a small TOML file.

::

    # vvenc.toml: used as  licframe bench rd balanced vvenc.toml --images kodak
    version = "vvenc 1.13"
    qualities = [42, 37, 32, 27, 22]          # from the smallest file to the largest
    suffix = ".266"
    encode = ["ffmpeg -i {input} -pix_fmt yuv444p {work}/a.yuv", "vvencapp ... -q {quality} -o {output}"]
    decode = "vvdecapp -b {input} -o {output}"

``{input}`` of encode and ``{output}`` of decode are PNG files; ``{width}``, ``{height}`` and ``{work}``, a
temporary folder, may be used too. Commands run without a shell, one after the other.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from attrs.validators import and_, deep_iterable, ge, instance_of, min_len
from numpy.typing import NDArray
from PIL import Image

from licframe.codec.interface import PixelCodec
from licframe.errors import LicframeError, PluginLoadError, ProfileError, suggestion
from licframe.runtime.atomic import read_file


def _lines(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value))


_texts: Any = and_(min_len(1), deep_iterable(instance_of(str)))


@attrs.frozen
class CommandOptions:
    """What a command file holds.

    Attributes:
        encode, decode: one command line, or several.
        qualities: values of ``{quality}``.
        suffix: of the coded file; version: what is shown; seconds: time limit of a command.
    """

    encode: tuple[str, ...] = attrs.field(converter=_lines, validator=_texts)
    decode: tuple[str, ...] = attrs.field(converter=_lines, validator=_texts)
    qualities: tuple[float, ...] = attrs.field(converter=_numbers, validator=min_len(1))
    suffix: str = ".bin"
    version: str = "unknown version"
    seconds: float = attrs.field(default=3600.0, validator=ge(0.0))


class Command(PixelCodec):
    """A codec that is a program."""

    def __init__(self, options: CommandOptions) -> None:
        self.options, self.suffix = options, options.suffix
        self.qualities, self.version = options.qualities, options.version
        self._size = (0, 0)

    @classmethod
    def read(cls, path: Path) -> Command:
        """Read a command file.

        Raises:
            ProfileError: a key is missing, unknown or of the wrong type.
        """
        names = [field.name for field in attrs.fields(CommandOptions)]
        try:
            record = tomllib.loads(read_file(path).decode())
            for key in record:
                if key not in names:
                    raise ProfileError(f'unknown key "{key}"; {suggestion(key, names)}')
            return cls(CommandOptions(**record))
        except (ProfileError, TypeError, ValueError) as error:
            raise ProfileError(f"{path}: {error}; a command file has {', '.join(names)}") from error

    def encode_pixels(self, pixels: NDArray[np.uint8], quality: float) -> bytes:
        self._size = pixels.shape[1], pixels.shape[0]
        with tempfile.TemporaryDirectory() as work:
            source, coded = Path(work, "input.png"), Path(work, f"coded{self.options.suffix}")
            Image.fromarray(pixels).save(source)
            self._run(self.options.encode, work, input=source, output=coded, quality=f"{quality:g}")
            return self._result(coded)

    def decode_pixels(self, data: bytes) -> NDArray[np.uint8]:
        with tempfile.TemporaryDirectory() as work:
            coded, decoded = Path(work, f"coded{self.options.suffix}"), Path(work, "decoded.png")
            coded.write_bytes(data)
            self._run(self.options.decode, work, input=coded, output=decoded)
            self._result(decoded)
            with Image.open(decoded) as image:
                return np.asarray(image.convert("RGB"))

    def _run(self, lines: tuple[str, ...], work: str, **values: Any) -> None:
        values.update(work=work, width=self._size[0], height=self._size[1])
        for line in lines:
            try:
                words = [word.format(**values) for word in shlex.split(line)]
            except (KeyError, IndexError, ValueError) as error:
                raise ProfileError(
                    f"command {line!r} uses {error}; allowed: {', '.join(values)}"
                ) from error
            try:
                done = subprocess.run(  # noqa: S603 - the user's own commands
                    words, capture_output=True, text=True, timeout=self.options.seconds, check=False
                )
            except FileNotFoundError as error:
                raise PluginLoadError(f"there is no program {words[0]}; install it") from error
            except subprocess.TimeoutExpired as error:
                raise LicframeError(
                    f"{words[0]} took over {self.options.seconds:g} s; raise seconds in the command file"
                ) from error
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise LicframeError(f"{shlex.join(words)} failed with {done.returncode}: {''.join(said)}")

    @staticmethod
    def _result(path: Path) -> bytes:
        if not path.is_file():
            raise LicframeError(f"the command wrote no {path.name}; it must write to {{output}}")
        return path.read_bytes()
