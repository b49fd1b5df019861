"""Which app is tested: one that is there, or one that a file makes anew at each start."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from pathlib import Path
from types import ModuleType

from slipcore.app import PREPARE, App
from slipcore.cli.target import Target
from slipcore.current import current_app, use_app
from slipcore.interfaces import ConfigError


class Subject:
    """What a test was given to test.

    Args:
        given: an App; a module or its dotted name; the path of a file; None: the current app.
        args: the arguments of the program that the file is.
    """

    def __init__(self, given: App | ModuleType | str | Path | None, args: Sequence[str]) -> None:
        self._given = given
        self._args = tuple(args)
        self._module = given if isinstance(given, ModuleType) else None

    def __repr__(self) -> str:
        given = self._given
        return f"'{given}'" if isinstance(given, str | Path) else repr(given or current_app())

    @property
    def module(self) -> ModuleType:
        """The module that the app is in.

        Raises:
            ConfigError: it was not given as one.
        """
        if self._module is None:
            raise ConfigError(
                f"{self!r} was given as an App, so that its module is not known: give the module, "
                "or the path of its file."
            )
        return self._module

    @property
    def is_file(self) -> bool:
        """Whether each start loads it anew."""
        return isinstance(self._given, str | Path) and Target.parse(str(self._given)).is_file

    def load(self, inside: ExitStack, stand_on: Callable[[App], None]) -> App:
        """The app, standing on what `stand_on` gives it, before its file is run where it is one.

        Args:
            inside: what is to be undone afterwards.
        """
        given = self._given
        if isinstance(given, str | Path):
            target = Target.parse(str(given))
            if target.is_file:
                return self._load_file(target, inside, stand_on)
            self._module = importlib.import_module(target.place)
            app = target.find(self._module)
        elif isinstance(given, ModuleType):
            app = Target(given.__name__).find(given)
        else:
            app = given if given is not None else current_app()
        stand_on(app)
        return app

    def _load_file(self, target: Target, inside: ExitStack, stand_on: Callable[[App], None]) -> App:
        inside.callback(use_app, use_app(None))
        inside.enter_context(_importing_leaves_no_trace())
        sys.argv[:] = [target.place, *self._args]
        context = copy_context()
        context.run(PREPARE.set, stand_on)
        self._module = context.run(target.load)
        return context.run(target.find, self._module)


@contextmanager
def _importing_leaves_no_trace() -> Iterator[None]:
    """Undo what loading a program does to the process, where the test's own modules live."""
    main = sys.modules["__main__"]
    script, argv = getattr(main, "__file__", None), sys.argv.copy()
    path, modules = sys.path.copy(), sys.modules.copy()
    try:
        yield
    finally:
        main.__file__ = script
        sys.argv[:] = argv
        directories = {Path(each) for each in set(sys.path) - set(path)}
        sys.path[:] = path
        for name in sys.modules.keys() - modules.keys():
            file = getattr(sys.modules[name], "__file__", None)
            if file is not None and Path(file).parent in directories:
                del sys.modules[name]
