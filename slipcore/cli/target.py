"""From what stands behind `slip run` to an app: import the file or module, find the App in it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from slipcore.app import App
from slipcore.current import current_app
from slipcore.interfaces import ConfigError


@dataclass(frozen=True, slots=True)
class Target:
    """An app file or module, and which App of it.

    Attributes:
        place: the file or the dotted name, as it was given.
        app: the name in the module; None: the only one there is.
    """

    place: str
    app: str | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Take apart `PLACE[:APP]`."""
        place, colon, app = text.rpartition(":")
        if colon and place and all(part.isidentifier() for part in app.split(".")):
            return cls(place, app)
        return cls(text)

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py") or "/" in self.place or "\\" in self.place

    def find(self, module: ModuleType) -> App:
        """The App of the imported module.

        Raises:
            ConfigError: no such App, more than one, or one that binds nothing.
        """
        app = self._app_of(module)
        if not app.bindings:
            raise ConfigError(
                f"{self.place} binds no handler: write @handle(source, sink=[...]) over a function."
            )
        return app

    def _app_of(self, module: ModuleType) -> App:
        apps = {name: thing for name, thing in vars(module).items() if isinstance(thing, App)}
        if self.app is not None:
            return self._named(module, apps)
        if not apps:
            return current_app()
        if len(set(apps.values())) > 1:
            raise ConfigError(
                f"{self.place} holds the apps {', '.join(apps)}: name one, "
                f"{self.place}:{next(iter(apps))}."
            )
        return next(iter(apps.values()))

    def _named(self, module: ModuleType, apps: dict[str, App]) -> App:
        assert self.app is not None
        found: Any = module
        for part in self.app.split("."):
            found = getattr(found, part, None)
        if isinstance(found, App):
            return found
        there = f"it holds {', '.join(apps)}" if apps else "it holds none at its top level"
        kind = "" if found is None else f": it is of type {type(found).__name__}"
        raise ConfigError(f"{self.place} has no App named {self.app!r}{kind}; {there}.")

    def load(self) -> ModuleType:
        """Import it, under its stem, so that what is guarded by `__name__` does not run.

        Raises:
            ConfigError: it is not there, or it runs a stream while it is imported.
            Exception: what its own code raised.
        """
        _prepend_path(Path.cwd())
        spec = self._spec_of_file(Path(self.place)) if self.is_file else self._spec_of_module()
        origin = Path(spec.origin or self.place)
        _stand_in_for_script(origin.parent if origin.name == "__init__.py" else origin)
        with _streams_refused(self.place):
            if not self.is_file:
                return importlib.import_module(spec.name)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            assert spec.loader is not None
            spec.loader.exec_module(module)
            return module

    def _spec_of_module(self) -> ModuleSpec:
        spec = None
        try:
            if all(part.isidentifier() for part in self.place.split(".")):
                spec = importlib.util.find_spec(self.place)
        except ModuleNotFoundError as error:
            if error.name is None or not self.place.startswith(f"{error.name}."):
                raise
        if spec is not None and spec.loader is not None:
            return spec
        near = Path(self.place.replace(".", "/") + ".py")
        hint = f" Is it the file {near}?" if near.is_file() else ""
        if Path(self.place).is_file():
            hint = " An app file ends with .py."
        raise ConfigError(
            f"There is no module {self.place!r} in {Path.cwd()} or on Python's path.{hint}"
        )

    def _spec_of_file(self, path: Path) -> ModuleSpec:
        if path.is_dir():
            raise ConfigError(f"{path} is a directory: name an app file in it, or a dotted module.")
        if not path.is_file():
            raise ConfigError(f"There is no file {path} in {Path.cwd()}.")
        _prepend_path(path.resolve().parent)
        # A module of the standard library must not be replaced by an app file of its name.
        taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names
        name = f"{path.stem}_app" if taken else path.stem
        spec = importlib.util.spec_from_file_location(name, path.resolve())
        if spec is None:
            raise ConfigError(f"{path} is no Python file: an app file ends with .py.")
        return spec


def _prepend_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _stand_in_for_script(path: Path) -> None:
    """Be what `python app.py` is to the app: those without a name are called after their file."""
    sys.modules["__main__"].__file__ = str(path)


@contextmanager
def _streams_refused(place: str) -> Iterator[None]:
    """Refuse to run a stream while the app file is imported: `slip` could not tell of it first."""

    async def refuse(self: App, **kwargs: Any) -> None:
        raise ConfigError(
            f"{place} runs its stream while it is imported: put run(stream()) under "
            'if __name__ == "__main__": and slip runs it.'
        )

    stream = App.stream
    App.stream = refuse  # type: ignore[method-assign]  # for the time of the import
    try:
        yield
    finally:
        App.stream = stream  # type: ignore[method-assign]  # as it was before
