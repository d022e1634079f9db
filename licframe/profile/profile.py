"""Profiles: TOML files that name one part of each kind and its options.

::

    extends = "balanced"            # optional: start from another profile
    summary = "one line"

    [transform]
    plugin = "NAME"                 # and the plugin's own options beside it

    [context_scheduler]
    plugin = "NAME"

    [entropy_model]                 # for every pass of the scheduler, or [[entropy_model]] once for each
    plugin = "NAME"

    [refiner]
    plugin = "NAME"

    [picture_filter]
    plugin = "NAME"

    [detail]                        # optional: what is coded of what the base leaves out
    file = "detail/balanced.toml"   # a profile of parts, beside this one

    [encoder]                       # optional: what an encoder does, and no file depends on
    lossless_fallback = true        # keep a picture without loss where that takes no more bytes
    tile = 1024                     # side of the tiles of large pictures, in pixels; 0 for none

    [weights]
    file = "weights/balanced.safetensors"    # beside the profile

    [training]                      # optional: how ``licframe train`` makes the weights

These are the parts of the latent codec. A codec of another kind is named by a table of its own, and has no parts; of
the other tables it may have ``[encoder]``::

    [codec]
    plugin = "NAME"

Everything is checked when the profile is loaded; torch is not imported.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import tomli_w
from attrs.validators import ge, gt, in_, le

from licframe.errors import ProfileError, suggestion
from licframe.profile.checking import structured
from licframe.registry.discovery import KINDS, registry
from licframe.registry.hooks import Part, identity

TILE_UNIT, SMALLEST_TILE, _LARGEST_TILE = 64, 256, 2**24
"""Pixels along a side of a tile: a multiple of the first, within the others."""
LATENT = "latent"
"""The codec of a profile without ``[codec]``: that which is made of parts."""
_TABLES = ("transform", "context_scheduler", "entropy_model", "refiner", "picture_filter")
SMALLEST_PATCH = MappingProxyType({"mse": 32, "ms-ssim": 176, "visual": 128})
"""By distortion: the smallest multiple of 16 on whose patches it can be measured, with five scales of an 11x11 window
(MS-SSIM's within the picture, so above (11 - 1) * 2^4)."""
_OF_ALL = ("extends", "summary", "codec", "encoder")
_FILES = ("weights", "detail")
_SETTABLE = (*_TABLES, "codec", "encoder", *_FILES, "training")
_TOP = ("extends", "summary", *_SETTABLE)


@attrs.frozen
class Choice:
    """A part that a profile chose, and its checked options."""

    kind: str
    part: Part
    options: Any

    @property
    def label(self) -> str:
        """The part's name and version, as files record it."""
        return f"{self.part.name} {self.part.version}"

    @property
    def described(self) -> str:
        """Kind and label, with the options that are not at their default."""
        options = {
            field.name: getattr(self.options, field.name)
            for field in attrs.fields(type(self.options))
            if getattr(self.options, field.name) != field.default
        }
        return " ".join(
            [self.kind.replace("_", " "), self.label, *(f"{k}={v}" for k, v in options.items())]
        )


@attrs.frozen
class Weights:
    """Where the weights are: a file name relative to the profile, or empty for none."""

    file: str = ""


@attrs.frozen
class Detail:
    """The profile of a detail layer: a file name relative to the profile, or empty for none."""

    file: str = ""


@attrs.frozen
class Encoder:
    """What an encoder does; no file and no weights depend on it.

    Attributes:
        lossless_fallback: a codec with loss keeps a picture without loss where that file is no larger, or within a
            target of size. Of .lic files only.
        tile: side in pixels of the tiles that a large latent is cut into, each coded by itself; 0 never cuts it.
        tiled_above: pixels of a picture, beyond which that is done.
    """

    lossless_fallback: bool = True
    tile: int = attrs.field(default=1024)
    tiled_above: int = attrs.field(default=2**24, validator=ge(0))

    @tile.validator
    def _of_a_size_that_there_is(self, _: object, value: int) -> None:
        if value and (value % TILE_UNIT or not SMALLEST_TILE <= value <= _LARGEST_TILE):
            raise ValueError(
                f"tile is {value}; use a multiple of {TILE_UNIT} from {SMALLEST_TILE} to {_LARGEST_TILE} pixels, or 0 for none"
            )


@attrs.frozen
class Training:
    """Defaults of ``licframe train`` for a profile.

    Attributes:
        batch: patches a step; patch: their side in pixels, a multiple of 16.
        beta: weight of mean|y|, the L1 term.
        distortion: "mse"; "ms-ssim" for pictures judged by that, with patches of at least 176; "visual" for eyes, with
            patches of at least 128.
        rate: multiplies all learning rates.
        candidates: each patch is the most detailed of so many draws; 1 takes every draw. Photographs are smoother than what
            is hard to code: with 3 their mean gradient is that of Kodak.
    """

    batch: int = attrs.field(default=8, validator=ge(1))
    patch: int = attrs.field(default=256, validator=[ge(32), le(2048)])
    beta: float = attrs.field(default=0.0, validator=ge(0.0))
    distortion: str = attrs.field(default="mse", validator=in_(SMALLEST_PATCH))
    rate: float = attrs.field(default=1.0, validator=gt(0.0))
    candidates: int = attrs.field(default=1, validator=[ge(1), le(16)])


@attrs.frozen(kw_only=True)
class Profile:
    """A checked profile of any codec.

    Attributes:
        name: of the file, without its suffix; source: the file.
        summary: one line.
        codec: the codec and its options; None for the latent codec, see ``LatentProfile``.
        encoder: settings of the encoder.
        weights: where they are.
    """

    name: str
    source: Path
    summary: str
    codec: Choice | None = None
    encoder: Encoder = Encoder()
    weights: Weights = Weights()

    @property
    def weights_path(self) -> Path | None:
        """The weights file, absolute; None where the profile names none."""
        return self.source.parent / self.weights.file if self.weights.file else None

    def tables(self) -> dict[str, Any]:
        """Return what the profile says, with every default, as a TOML document holds it."""
        tables: dict[str, Any] = {"summary": self.summary}
        if self.codec is not None:
            tables["codec"] = _table_of(self.codec)
        tables["encoder"] = _plain(self.encoder)
        if self.weights.file:
            tables["weights"] = _plain(self.weights)
        return tables

    def to_toml(self) -> str:
        """Return the resolved profile as TOML."""
        return tomli_w.dumps(self.tables())


@attrs.frozen(kw_only=True)
class LatentProfile(Profile):
    """A checked profile of the latent codec: the parts that it is made of, and how they are trained."""

    transform: Choice
    context_scheduler: Choice
    entropy_models: tuple[Choice, ...]
    refiner: Choice
    picture_filter: Choice
    training: Training
    detail: Detail = Detail()

    @property
    def detail_path(self) -> Path | None:
        """The profile of the detail layer, absolute; None where the profile names none."""
        return self.source.parent / self.detail.file if self.detail.file else None

    @property
    def parts(self) -> tuple[str, ...]:
        """Names and versions of the parts that decide what a file means."""
        return tuple(choice.label for choice in self._coding)

    @property
    def _coding(self) -> tuple[Choice, ...]:
        return self.transform, self.context_scheduler, *self.entropy_models

    def structure(self) -> dict[str, Any]:
        """Return the parts and options that weights belong to, as plain values."""
        return {
            "parts": [
                {
                    "kind": c.kind,
                    "plugin": c.part.recorded,
                    "version": c.part.version,
                    **_lists(identity(c.options)),
                }
                for c in self._coding
            ]
        }

    def with_transform(self, table: Mapping[str, Any]) -> LatentProfile:
        """Return this profile with another ``[transform]``: its plugin and options."""
        return attrs.evolve(self, transform=_choose("transform", table, self.source))

    def tables(self) -> dict[str, Any]:
        entropy = [_table_of(choice) for choice in self.entropy_models]
        return {
            **Profile.tables(self),
            "transform": _table_of(self.transform),
            "context_scheduler": _table_of(self.context_scheduler),
            "entropy_model": entropy if len(entropy) > 1 else entropy[0],
            "refiner": _table_of(self.refiner),
            "picture_filter": _table_of(self.picture_filter),
            "training": _plain(self.training),
            **({"detail": _plain(self.detail)} if self.detail.file else {}),
        }


def profile_folder() -> Path:
    """Return the folder of the profiles that come with licframe."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "profiles"
    return inside if inside.is_dir() else package.parent / "profiles"


def shipped_profiles() -> dict[str, Path]:
    """Return name and file of every profile that comes with licframe."""
    return {path.stem: path for path in sorted(profile_folder().glob("*.toml"))}


def latent_profiles() -> list[str]:
    """Return the names of the shipped profiles of the latent codec: those with parts and weights."""
    return [name for name in shipped_profiles() if isinstance(load_profile(name), LatentProfile)]


def load_profile(name: str | Path, overrides: Sequence[str] = ()) -> Profile:
    """Load a profile by name or path and check it.

    Args:
        name: name of a shipped profile, or path of a TOML file.
        overrides: ``table.key=value`` strings, applied last; values are TOML, or plain words.

    Raises:
        ProfileError: with the file, table and key that are wrong, and what is allowed.
        UnknownPluginError: a part that no installed plugin provides.
    """
    path = _find(str(name))
    tables = _read(path, ())
    for override in overrides:
        _override(tables, override)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", path.stem):
        raise ProfileError(
            f'{path}: files carry the profile\'s name "{path.stem}"; rename it to lower case letters, digits, '
            "dots, hyphens and underscores, at most 64"
        )
    return _latent(tables, path) if _codec_named(tables) == LATENT else _of_another_codec(tables, path)


def latent_profile(name: str | Path, overrides: Sequence[str] = ()) -> LatentProfile:
    """Load a profile of the latent codec, for what needs its parts; see ``load_profile``.

    Raises:
        ProfileError: as ``load_profile``, or the profile is of another codec.
    """
    profile = load_profile(name, overrides)
    if not isinstance(profile, LatentProfile):
        assert profile.codec is not None
        raise ProfileError(
            f"{profile.source} is a profile of codec {profile.codec.part.name}, which has no parts to train, swap or "
            'count; name one with a [transform], such as "balanced"'
        )
    return profile


def _find(name: str) -> Path:
    shipped = shipped_profiles()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return path
    raise ProfileError(
        f'no profile "{name}": it is neither a TOML file nor a shipped profile; '
        f"{suggestion(Path(name).stem, shipped)}"
    )


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """Return the tables of a profile laid over those it extends."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} is not valid TOML: {error}") from error
    except OSError as error:
        raise ProfileError(f"cannot read profile {path}: {error.strerror}") from error
    for key in tables:
        if key not in _TOP:
            raise ProfileError(f'{path}: unknown key "{key}"; {suggestion(key, _TOP)}')
    base = tables.pop("extends", None)
    for key in _FILES:
        if isinstance(tables.get(key), dict) and tables[key].get("file"):
            tables[key]["file"] = str((path.parent / str(tables[key]["file"])).resolve())
    if base is None:
        return tables
    if not isinstance(base, str):
        raise ProfileError(f"{path}: extends is {base!r}; expected the name or path of a profile")
    beside = path.parent / (base if base.endswith(".toml") else f"{base}.toml")
    below_path = beside if beside.is_file() else _find(base)
    if below_path.resolve() in (p.resolve() for p in (*seen, path)):
        raise ProfileError(f"{path}: profiles extend each other in a circle; remove one extends")
    below = _read(below_path, (*seen, path))
    if _codec_named(tables) != _codec_named(below):  # of another codec nothing but the summary is of use
        return tables
    for key, value in tables.items():
        old = below.get(key)
        if (
            isinstance(value, dict)
            and isinstance(old, dict)
            and _same_plugin(key, value.get("plugin", old.get("plugin")), old.get("plugin"))
        ):
            below[key] = {**old, **value}
        else:  # another plugin has other options
            below[key] = value
    return below


def _override(tables: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    table, dot, option = key.strip().partition(".")
    if not (equals and dot and option and table in _SETTABLE):
        raise ProfileError(
            f"--set {text}: expected table.key=value with a table of {', '.join(_SETTABLE)}; "
            "for example --set refiner.plugin=none"
        )
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    if table in _FILES and option == "file" and parsed:
        parsed = str(Path(str(parsed)).resolve())  # relative to where the user is
    old = tables.setdefault(table, {})
    if isinstance(old, list) and option == "plugin":  # one for every pass
        tables[table] = old = {"plugin": parsed}
    if not isinstance(old, dict):
        raise ProfileError(f"--set {text}: [[{table}]] has several entries; write a profile instead")
    if option == "plugin" and not _same_plugin(table, old.get("plugin"), parsed):
        tables[table] = {"plugin": parsed}
    else:
        old[option] = parsed


def _same_plugin(table: str, one: Any, other: Any) -> bool:
    """Return whether two names in a table are of one plugin."""
    part = registry().named(table, one) if table in KINDS else None
    return bool(one == other or (part is not None and other in part.names))


def _codec_named(tables: Mapping[str, Any]) -> str:
    codec = tables.get("codec")
    return str(codec.get("plugin", LATENT)) if isinstance(codec, dict) else LATENT


def _of_another_codec(tables: Mapping[str, Any], path: Path) -> Profile:
    for table in tables:
        if table not in _OF_ALL:
            raise ProfileError(
                f"{path}: [{table}] is of no use to codec {tables['codec']['plugin']}; remove it"
            )
    return Profile(
        name=path.stem,
        source=path.resolve(),
        summary=structured(tables.get("summary", ""), str, path, "summary"),
        codec=_choose("codec", tables["codec"], path),
        encoder=structured(tables.get("encoder", {}), Encoder, path, "encoder"),
    )


def _latent(tables: Mapping[str, Any], path: Path) -> LatentProfile:
    if tables.get("codec", {"plugin": LATENT}) != {"plugin": LATENT}:
        raise ProfileError(f'{path} [codec]: expected plugin = "name" and, for "{LATENT}", nothing else')
    for table in _TABLES:
        if table not in tables:
            raise ProfileError(f"{path}: [{table}] is missing; name a plugin there")
    entropy = tables["entropy_model"]
    profile = LatentProfile(
        name=path.stem,
        source=path.resolve(),
        summary=structured(tables.get("summary", ""), str, path, "summary"),
        transform=_choose("transform", tables["transform"], path),
        context_scheduler=_choose("context_scheduler", tables["context_scheduler"], path),
        entropy_models=tuple(
            _choose("entropy_model", e, path) for e in (entropy if isinstance(entropy, list) else [entropy])
        ),
        refiner=_choose("refiner", tables["refiner"], path),
        picture_filter=_choose("picture_filter", tables["picture_filter"], path),
        encoder=structured(tables.get("encoder", {}), Encoder, path, "encoder"),
        weights=structured(tables.get("weights", {}), Weights, path, "weights"),
        training=structured(tables.get("training", {}), Training, path, "training"),
        detail=structured(tables.get("detail", {}), Detail, path, "detail"),
    )
    training = profile.training
    if training.patch % 16:
        raise ProfileError(f"{path} [training].patch is {training.patch}; use a multiple of 16")
    smallest = SMALLEST_PATCH[training.distortion]
    if training.patch < smallest:
        raise ProfileError(
            f'{path} [training].patch is {training.patch}; distortion = "{training.distortion}" needs {smallest} or more'
        )
    return profile


def _choose(kind: str, table: Any, path: Path) -> Choice:
    if not isinstance(table, dict) or not isinstance(table.get("plugin"), str):
        raise ProfileError(
            f'{path} [{kind}]: expected plugin = "name"; known: {", ".join(sorted(registry().parts[kind]))}'
        )
    options = {k: v for k, v in table.items() if k != "plugin"}
    part = registry().find(kind, table["plugin"], f" in {path} [{kind}].plugin")
    return Choice(kind, part, structured(options, part.options, path, kind))


def _table_of(choice: Choice) -> dict[str, Any]:
    return {"plugin": choice.part.name, **_plain(choice.options)}


def _plain(record: Any) -> dict[str, Any]:
    return _lists(attrs.asdict(record, recurse=False))


def _lists(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
