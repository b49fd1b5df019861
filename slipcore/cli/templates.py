"""What `slip new` writes: the folders under slipcore/templates, with other names.

Those folders are real projects that work as they stand, called slip-acme and acme.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from slipcore.errors import ConfigError
from slipcore.plugins import Plugins
from slipcore.plugins.known import KNOWN

PREFIX: Final = "slip-"

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PLACEHOLDERS: Final = re.compile("slip-acme|slip_acme|Acme|acme")
_RENAMED: Final = {"gitignore": ".gitignore"}
"""As a file of that name it would be one of the checkout's own."""
_NOT_WRITTEN: Final = ("__pycache__", ".pyc")
_TAKEN: Final = frozenset({*sys.stdlib_module_names, "slipcore", "test", "tests", "conftest"})


@dataclass(frozen=True, slots=True)
class Names:
    """What a new project is called.

    Attributes:
        project: the distribution, or the app.
        module: the package, or the app's file.
        backend: what is written as `backend=`; an app's own name.
    """

    project: str
    module: str
    backend: str

    @classmethod
    def of_plugin(cls, name: str) -> Names:
        """The names of a plugin's distribution.

        Raises:
            ConfigError: the name is no distribution's, or its backend's is taken.
        """
        module = _checked(name, "a distribution", "slip-nats")
        backend = name.removeprefix(PREFIX)
        if backend in Plugins(entry_points=()).names():
            raise ConfigError(
                f"The backend '{backend}' is built in: give {name} another name, "
                f"slip-my-{backend} for example."
            )
        if backend in KNOWN:
            raise ConfigError(
                f"The backend '{backend}' comes with {KNOWN[backend].distribution}: give {name} "
                f"another name, slip-my-{backend} for example."
            )
        return cls(name, module, backend)

    @classmethod
    def of_app(cls, name: str) -> Names:
        """The names of an app.

        Raises:
            ConfigError: the name is no app's.
        """
        module = _checked(name, "an app", "shop")
        if PathFinder.find_spec(module) is not None:
            raise ConfigError(
                f"{name!r} is no name for an app: a module of that name is installed; write "
                f"my-{name}, for example."
            )
        return cls(name, module, name)

    @property
    def prefix(self) -> str:
        """What the names of its classes begin with."""
        return "".join(word.capitalize() for word in self.backend.split("-"))

    def put_into(self, text: str) -> str:
        """A template's text, or path, with these names."""
        names = {
            "slip-acme": self.project,
            "slip_acme": self.module,
            "Acme": self.prefix,
            "acme": self.backend,
        }
        return _PLACEHOLDERS.sub(lambda found: names[found[0]], text)


def _checked(name: str, what: str, example: str) -> str:
    """The module of a name that is fit for one."""
    if _NAME.fullmatch(name) is None:
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("0123456789-").rstrip("-")
        raise ConfigError(
            f"{name!r} is no name for {what}, which has lower-case letters, digits and single "
            f"hyphens, a letter first: write {near or example}, for example."
        )
    module = name.replace("-", "_")
    if module in _TAKEN or keyword.iskeyword(module):
        taken = "word" if keyword.iskeyword(module) else "module"
        raise ConfigError(
            f"{name!r} is no name for {what}: Python has a {taken} of that name; "
            f"write my-{name}, for example."
        )
    return module


def write(template: str, names: Names, directory: Path) -> list[Path]:
    """Write a new project.

    Args:
        template: the folder under slipcore/templates.
        directory: where it goes; made if it is not there.

    Returns:
        the files that were written, in order.

    Raises:
        ConfigError: the directory has something in it, or can't be written to.
    """
    contents = {
        directory / names.put_into(path): names.put_into(text)
        for path, text in _texts(files("slipcore") / "templates" / template)
    }
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ConfigError(
                f"{directory} is there already and is not empty: name another directory with --dir."
            )
        for path, text in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Can't write to {directory}: {error.strerror or error}.") from error
    return sorted(contents)


def _texts(folder: Traversable, above: str = "") -> Iterator[tuple[str, str]]:
    """The files of a template, each with its path in the project."""
    for entry in folder.iterdir():
        if entry.name.endswith(_NOT_WRITTEN) or entry.name.startswith("."):
            continue
        path = above + _RENAMED.get(entry.name, entry.name)
        if entry.is_dir():
            yield from _texts(entry, f"{path}/")
        else:
            yield path, entry.read_text(encoding="utf-8")
