"""A package to start from: one part that works, and the test that it must pass.

What is written is an example of ``examples/`` under another name.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs

from licframe.errors import FileError, UsageError, suggestion
from licframe.registry.discovery import KINDS, registry
from licframe.runtime.atomic import write_atomically

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 32


@attrs.frozen
class Example:
    """A part of an example package.

    Attributes:
        package: of the example; module: of the part in it.
        name: of the class; part: of the part, in profiles.
        profile: a profile that uses it, below its first line; trained: it needs weights of its own.
    """

    package: str
    module: str
    name: str
    part: str
    profile: str
    trained: bool = False


_OF_TINY = 'extends = "tiny"\n'
EXAMPLES: Mapping[str, Example] = MappingProxyType(
    {
        "transform": Example(
            "simplest",
            "blocks",
            "Blocks",
            "block-basis",
            f'{_OF_TINY}\n[weights]\nfile = ""\n\n[detail]\nfile = ""\n',
            trained=True,
        ),
        "context_scheduler": Example(
            "heavytail", "flat", "Flat", "flat", f'{_OF_TINY}\n[weights]\nfile = ""\n', trained=True
        ),
        "entropy_model": Example(
            "heavytail",
            "model",
            "HeavyTail",
            "heavy-tail",
            f'{_OF_TINY}\n[weights]\nfile = ""\n',
            trained=True,
        ),
        "refiner": Example("simplest", "scaling", "Scaling", "scaling", _OF_TINY),
        "picture_filter": Example("heavytail", "levels", "Levels", "levels", _OF_TINY),
        "codec": Example("simplest", "differences", "Differences", "differences", ""),
    }
)
"""What each kind of part starts from."""

_PROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "What it adds to licframe: {words}"
requires-python = ">=3.11"
dependencies = ["licframe"]

[project.optional-dependencies]
test = ["pytest>=8.2"]

[project.entry-points.licframe]
{module} = "{module}.plugin"

[tool.hatch.build.targets.wheel]
packages = ["{module}"]
"""

_HOOK = """\
@licframe.hookimpl
def {hook}() -> list[licframe.Part]:
    return [
        licframe.Part(
            name="{part}",
            version=1,  # raise it whenever old files or weights stop working
            summary="{words}",
            options={name}Options,
            target="{module}.{kind}:{name}",
        )
    ]
"""

_TEST = """\
from pathlib import Path

import pytest

from licframe.testing.conformance import {base}


class Test{name}({base}):
    @pytest.fixture
    def {fixture}
"""

_README = """\
# {distribution}

What it adds to licframe: {words}, named `{part}` in profiles. `{module}/{kind}.py` is the part, and says what it must have.
`{module}/plugin.py` registers it. Change the summary there and what the part does; the test says when it breaks a rule.

    pip install -e ".[test]"
    pytest
    licframe plugins

{use}
"""

_USE_TRAINED = """\
It needs weights. Five minutes are enough to see that all works:

    licframe train {part}.toml --data photographs/ --minutes 5
    licframe run runs/{part}/profile.toml photo.png"""

_USE = """\
It needs no weights of its own:

    licframe run {part}.toml photo.png"""


def start(part: str, kind: str, folder: Path | None = None) -> list[Path]:
    """Write a package with a part that works; return its files.

    Args:
        part: its name in profiles. kind: a key of ``licframe.registry.discovery.KINDS``.
        folder: licframe-PART if left out.

    Raises:
        UsageError: the name or the kind is not usable; FileError: the folder is there, or cannot be written.
    """
    if kind not in EXAMPLES:
        raise UsageError(f"--kind {kind}: no such kind of part; {suggestion(kind, EXAMPLES)}")
    folder = folder or Path(f"licframe-{part}")
    example = EXAMPLES[kind]
    code = (_examples() / f"licframe-{example.package}" / f"licframe_{example.package}").resolve()
    source = (code / f"{example.module}.py").read_text("utf-8")
    plugin = (code / "plugin.py").read_text("utf-8")
    name = _class_name(part, kind, source)
    if folder.exists():
        raise FileError(f"{folder} exists; name another folder with --output")
    words = {
        "part": part,
        "kind": kind,
        "name": name,
        "words": ("an " if kind[0] in "aeiou" else "a ") + kind.replace("_", " "),
        "hook": KINDS[kind],
        "distribution": f"licframe-{part}",
        "module": f"licframe_{part.replace('-', '_')}",
    }
    use = (_USE_TRAINED if example.trained else _USE).format(**words)
    package = folder / words["module"]
    texts = {
        folder / "pyproject.toml": _PROJECT.format(**words),
        folder / "README.md": _README.format(**words, use=use),
        folder / f"{part}.toml": f'summary = "{words["words"]} of our own"\n{example.profile}\n'
        f'[{kind}]\nplugin = "{part}"\n',
        folder / "tests" / f"test_{words['module']}.py": _test(kind, part, name),
        package / "__init__.py": f'"""What it adds to licframe: {words["words"]}."""\n',
        package / "plugin.py": _renamed(_options(plugin, example.name), example, part, name)
        + "\n\n"
        + _HOOK.format(**words),
        package / f"{kind}.py": _renamed(source, example, part, name),
    }
    for path, text in texts.items():
        write_atomically(path, text.encode())
    return list(texts)


def _examples() -> Path:
    """Return the folder of the examples that come with licframe."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "examples"
    return inside if inside.is_dir() else package.parent / "examples"


def _class_name(part: str, kind: str, source: str) -> str:
    """Return the name of the class, checked: nothing else may have it or the part's."""
    if not (_NAME.fullmatch(part) and len(part) <= _LONGEST):
        raise UsageError(
            f'a part cannot be named "{part}"; use lower-case letters, digits and single hyphens between them, a letter '
            f"first, at most {_LONGEST} in all"
        )
    taken = registry().parts[kind]
    for item in taken.values():
        if part in item.part.names:
            raise UsageError(
                f'{item.distribution} has a {kind} "{part}" already; use another name than {", ".join(sorted(taken))}'
            )
    name = "".join(word.capitalize() for word in part.split("-"))
    if keyword.iskeyword(name) or re.search(rf"\b{name}\b", source):
        raise UsageError(f'"{part}" would make the class {name}, a name that its module uses; use another')
    return name


def _options(plugin: str, name: str) -> str:
    """Return the head of a plugin's module: its text, imports, and the options of one part."""
    tree, lines = ast.parse(plugin), plugin.splitlines()

    def of(node: ast.ClassDef | ast.stmt) -> str:
        first = node.decorator_list[0].lineno if isinstance(node, ast.ClassDef) else node.lineno
        return "\n".join(lines[first - 1 : node.end_lineno])

    (options,) = (
        of(node) for node in tree.body if isinstance(node, ast.ClassDef) and node.name == f"{name}Options"
    )
    used = [word for word in ("ge", "le") if re.search(rf"\b{word}\(", options)]
    validators = [f"from attrs.validators import {', '.join(used)}"] if used else []
    return "\n".join(
        [of(tree.body[0]), "", "import attrs", *validators, "", "import licframe", "", "", options, ""]
    )


def _renamed(source: str, example: Example, part: str, name: str) -> str:
    """Return an example's code under new names."""
    source = re.sub(rf"\b{example.name}(?=Options\b|\b)", name, source)
    return re.sub(rf'"{example.part}(?=["\s])', f'"{part}', source)


def _test(kind: str, part: str, name: str) -> str:
    """Return the test, which gives one fixture to the conformance kit."""
    base = {"codec": "CodecConformance", "picture_filter": "PictureFilterConformance"}.get(
        kind, "Conformance"
    )
    settings = f'settings(self) -> list[str]:\n        return ["{kind}.plugin={part}"]'
    profile = f'profile(self) -> Path:\n        return Path(__file__).parent.parent / "{part}.toml"'
    text = _TEST.format(base=base, name=name, fixture=profile if kind == "codec" else settings)
    return text if kind == "codec" else text.removeprefix("from pathlib import Path\n\n")
