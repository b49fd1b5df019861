"""A plugin that is broken stops nobody else, and what is wrong with it is said."""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from slipcore.interfaces import PluginLoadError
from slipcore.plugins import Plugins
from slipcore.plugins.loading import told

from .conftest import CACHE, Install, only

BROKEN = {
    "raises at import": (
        "raise RuntimeError('half built')",
        "importing slip_broken raised RuntimeError: half built",
    ),
    "ends the process": ("raise SystemExit(3)", "importing slip_broken called sys.exit(3)"),
    "can't be parsed": ("def", "SyntaxError"),
    "raises what is no Exception": (
        "import asyncio; raise asyncio.CancelledError('here')",
        "importing slip_broken raised CancelledError: here",
    ),
    "raises what can't be told": (
        """
        class Silent(Exception):
            def __str__(self):
                raise self

        raise Silent
        """,
        "importing slip_broken raised Silent",
    ),
    "needs what is missing": (
        "import slip_nowhere.client",
        "it needs the module slip_nowhere, which is not installed: install slip-broken again, "
        "with its dependencies",
    ),
    "needs what this core has not": (
        "import slipcore.nowhere",
        "importing slip_broken raised ModuleNotFoundError: No module named 'slipcore.nowhere'",
    ),
    "raises in a hook": (
        """
        @hookimpl
        def register_caches(register):
            register("first", dict)

        @hookimpl
        def register_sinks(register):
            raise KeyError("later")
        """,
        "its hook register_sinks raised KeyError: 'later'",
    ),
    "misspells a hook": (
        "@hookimpl\ndef register_cache(register): pass",
        "there is no hook register_cache, did you mean register_caches",
    ),
    "asks for too much": (
        "@hookimpl\ndef register_caches(register, loop): pass",
        "its hook register_caches asks for loop, and is given register",
    ),
    "ends the process in a hook": (
        "@hookimpl\ndef register_caches(register): raise SystemExit",
        "its hook register_caches called sys.exit()",
    ),
    "takes a built-in name": (
        "@hookimpl\ndef register_caches(register): register('sqlite', dict)",
        "the cache backend 'sqlite' is built in: register it as another name",
    ),
    "registers twice": (
        """
        @hookimpl
        def register_caches(register):
            register("vault", dict)
            register("vault", list)
        """,
        "the cache backend 'vault' is registered twice",
    ),
    "has no factory": (
        "@hookimpl\ndef register_caches(register): register('vault', 3)",
        'its factory is callable or "module:attribute"',
    ),
    "gives register what it does not take": (
        "@hookimpl\ndef register_caches(register): register('vault', dict, colour='x')",
        "its hook register_caches raised TypeError: register() got an unexpected keyword argument "
        "'colour'",
    ),
    "marks no hook": (
        "def register_caches(register): register('vault', dict)",
        "its function register_caches is not marked with @hookimpl",
    ),
    "marks no hook and misspells it": (
        "def register_cache(register): register('vault', dict)",
        "its function register_cache is not marked with @hookimpl",
    ),
    "marks only one of two hooks": (
        """
        @hookimpl
        def register_sinks(register):
            register("first", dict)

        def register_caches(register):
            register("first", dict)
        """,
        "its function register_caches is not marked with @hookimpl",
    ),
    "names no place": (
        "@hookimpl\ndef register_caches(register): register('vault', 'slip_vault.Vault')",
        'write "module:attribute"',
    ),
    "has options of no class": (
        "@hookimpl\ndef register_caches(register): register('vault', dict, options={})",
        'options is a class or "module:attribute"',
    ),
    "has no name": (
        "@hookimpl\ndef register_caches(register): register('', dict)",
        "'' is no name for a cache",
    ),
    "returns instead of registering": (
        "@hookimpl\ndef register_caches(register): return ['vault']",
        "register_caches is to call register() and return nothing",
    ),
    "registers asynchronously": (
        "@hookimpl\nasync def register_caches(register): register('vault', dict)",
        "register_caches is not to be async, but to call register() and return nothing",
    ),
    "yields": (
        "@hookimpl\ndef register_caches(register): yield register('vault', dict)",
        "register_caches is to call register() and return nothing",
    ),
}


@pytest.mark.parametrize(("source", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_plugin_stops_nobody_else(
    install: Install, caplog: pytest.LogCaptureFixture, source: str, reason: str
) -> None:
    """It is left out whole, warned of once with its reason, and those around it work."""
    install("slip_a", CACHE.replace("vault", "before"))
    install("slip_broken", source)
    install("slip_c", CACHE.replace("vault", "after"))
    plugins = Plugins()
    with caplog.at_level(logging.DEBUG):
        plugins.load()
        plugins.load()
    assert {"before", "after"} <= set(plugins.names("cache"))
    assert not {"first", "vault"} & set(plugins.names("cache"))
    info = only(plugins, "slip_broken")
    assert (info.status, info.provides) == ("failed", {})
    assert info.reason is not None
    assert reason in info.reason
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "slip-broken:slip_broken" in warning.getMessage()
    assert reason in warning.getMessage()
    assert warning.exc_info is None
    assert any(r.exc_info for r in caplog.records if r.levelno == logging.DEBUG)


def test_an_interrupt_is_not_taken_for_a_broken_plugin(
    install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C while plugins load ends the program, and says at which plugin it was."""
    install("slip_slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Plugins().load()
    (record,) = caplog.records
    assert record.getMessage() == "Interrupted while the plugin slip-slow:slip_slow was loaded"


def test_strict_plugins_raise(install: Install) -> None:
    """With SLIP_STRICT_PLUGINS=1 the first failure is an error that keeps its cause, each time."""
    install("slip_broken", "raise RuntimeError('half built')")
    plugins = Plugins.from_env({"SLIP_STRICT_PLUGINS": "1"})
    for _ in range(2):
        with pytest.raises(PluginLoadError, match="slip-broken:slip_broken .*half built") as info:
            plugins.load()
        assert isinstance(info.value.__cause__, RuntimeError)


def test_what_is_no_entry_point_fails_alone(install: Install, tmp_path: Path) -> None:
    """A line that is none, damaged groups and unreadable files leave the others as they are."""
    install("slip_vault", CACHE)
    install("slip_line", CACHE)
    install("slip_other", CACHE.replace("vault", "other"))
    install("slip_bytes", CACHE)
    install("slip_odd", CACHE)
    for name, content in (
        ("slip_line", b"[slipcore]\n# the plugin\nslip_line\n"),
        ("slip_other", b"[console_scripts]\nthis is no script\n[slipcore]\nother=slip_other\n"),
        ("slip_bytes", b"[slipcore]\nbytes = slip_bytes\n# \xff"),
        ("slip_odd", b"[slipcore]\nodd = slip\xffodd\n"),
    ):
        (tmp_path / f"{name}-1.0.dist-info/entry_points.txt").write_bytes(content)
    plugins = Plugins()
    assert {"vault", "other"} <= set(plugins.names("cache"))
    assert only(plugins, "slip_line").reason == (
        "its line in entry_points.txt is not of the form name = module"
    )
    assert only(plugins, "bytes").status == "loaded"
    assert only(plugins, "odd").reason == ("its entry point 'slip\ufffdodd' is no module")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no module", "its entry point 'no module' is no module"),
        ("slip_nowhere.plugin", "names the module slip_nowhere.plugin, and there is no slip_now"),
        ("slip_vault.plugin", "names the module slip_vault.plugin, and there is no slip_vault.pl"),
        ("slip_vault:Nobody", "its entry point names slip_vault:Nobody, which is not there"),
        ("slip_vault:Vault", "its entry point is to name a module with hooks, and names Vault"),
        ("slip_vault:HOOKS", "its entry point is to name a module with hooks, and names a dict"),
    ],
)
def test_an_entry_point_of_no_module(
    install: Install, tmp_path: Path, value: str, reason: str
) -> None:
    """What it names and what is wrong with that is the reason."""
    install("slip_vault", CACHE + "\n    HOOKS = {}\n")
    (tmp_path / "slip_vault-1.0.dist-info/entry_points.txt").write_text(f"[slipcore]\nv={value}\n")
    info = only(Plugins(), "v")
    assert info.status == "failed"
    assert reason in (info.reason or "")


def test_the_first_of_two_on_the_path(install: Install, tmp_path: Path) -> None:
    """A distribution that is on the path twice is taken once, as Python imports it."""
    install("slip_vault", CACHE)
    install("slip_vault", CACHE, version="0.9")
    (info,) = [info for info in Plugins().report() if info.distribution == "slip-vault"]
    assert info.status == "loaded"


def test_what_a_plugin_prints_goes_to_stderr(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is the program's."""
    install("slip_loud", "print('at import')\n@hookimpl\ndef register_sinks(): print('in a hook')")
    assert only(Plugins(), "slip_loud").status == "loaded"
    assert capsys.readouterr() == ("", "at import\nin a hook\n")


def test_what_others_print_meanwhile_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where two threads load at once, and leave in the order in which they came."""
    steps = [Event() for _ in range(3)]

    def load_first() -> None:
        with told("loading"):
            steps[0].set()
            assert steps[1].wait(30)
            print("first")
        steps[2].set()

    def load_second() -> None:
        assert steps[0].wait(30)
        with told("loading"):
            steps[1].set()
            assert steps[2].wait(30)
            print("second")

    before = sys.stdout
    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load_first), pool.submit(load_second)]
        assert steps[0].wait(30)
        print("the program")
    assert [load.exception() for load in loads] == [None, None]
    assert sys.stdout is before
    print("after")
    assert capsys.readouterr() == ("the program\nafter\n", "first\nsecond\n")


def test_one_module_behind_two_entry_points_fails_the_second(
    install: Install, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first plugin stays registered when the second turns out to be the same."""
    install("slip_vault", CACHE)
    (tmp_path / "slip_vault-1.0.dist-info/entry_points.txt").write_text(
        "[slipcore]\na = slip_vault\nb = slip_vault\n"
    )
    plugins = Plugins()
    assert plugins.get("cache", "vault").owner == "slip-vault:a"
    assert only(plugins, "b").reason == (
        "its entry point names what is the plugin slip-vault:a already"
    )
    assert len(caplog.records) == 1


def test_a_module_belongs_to_the_distribution_of_its_name(install: Install, tmp_path: Path) -> None:
    """A stranger whose entry point names somebody else's module takes nothing from its owner."""
    install("slip_vault", CACHE)
    install("slip_abc", "")
    (tmp_path / "slip_abc-1.0.dist-info/entry_points.txt").write_text("[slipcore]\na=slip_vault\n")
    plugins = Plugins()
    assert plugins.get("cache", "vault").owner == "slip-vault:slip_vault"
    assert only(plugins, "a").reason == (
        "its entry point names what is the plugin slip-vault:slip_vault already"
    )
    names = [info.name for info in plugins.report()]
    assert names == ["builtin", *sorted(names[1:])]


def test_a_requirement_that_is_not_installed(install: Install, tmp_path: Path) -> None:
    """It is told beside what the plugin provides, whose modules may come from elsewhere."""
    install("slip_vault", CACHE)
    install("slip_whole", CACHE.replace("vault", "other"))
    for name, lines in (
        ("slip_vault", "Requires-Dist: pluggy>=1\nRequires-Dist: slip-nowhere[fast]>=1\n"),
        ("slip_whole", 'Requires-Dist: SlipCore\nRequires-Dist: slip-nowhere; extra == "x"\n'),
    ):
        metadata = tmp_path / f"{name}-1.0.dist-info/METADATA"
        metadata.write_text(metadata.read_text() + lines)
    plugins = Plugins()
    info = only(plugins, "slip_vault")
    assert (info.status, info.provides) == ("loaded", {"cache": ("vault",)})
    assert info.reason == (
        "it requires slip-nowhere, which is not installed: install slip-vault again, with its "
        "dependencies"
    )
    assert only(plugins, "slip_whole").reason is None
    assert plugins.unused("vault") == []


def test_metadata_without_name_or_version(install: Install, tmp_path: Path) -> None:
    """A distribution whose metadata is empty still brings its plugin."""
    install("slip_vault", CACHE)
    (tmp_path / "slip_vault-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\n")
    assert Plugins().get("cache", "vault").load().__name__ == "Vault"
