"""Plugins are found, and who of them is used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from slipcore.interfaces import ConfigError
from slipcore.plugins import KINDS, PluginInfo, Plugins

from .conftest import CACHE, Install, only


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("source", ["memory", "sqlite"]),
        ("sink", ["memory", "sqlite"]),
        ("cache", ["memory", "sqlite"]),
        ("codec", ["json", "msgpack", "pickle", "raw", "text"]),
        ("checkpoint_store", ["memory", "sqlite"]),
    ],
)
def test_what_is_built_in(kind: str, names: list[str]) -> None:
    """memory, sqlite and five codecs are there without any plugin, and all of them load."""
    plugins = Plugins(entry_points=[])
    assert plugins.names(kind) == names
    for name in names:
        backend = plugins.get(kind, name)
        assert (backend.owner, backend.distribution) == ("slipcore:builtin", "slipcore")
        assert backend.summary
        assert callable(backend.load())
        assert isinstance(backend.options_type(), type)


def test_a_topic_is_one_factory_under_two_hooks() -> None:
    """As source and as sink, memory and sqlite give the same class."""
    plugins = Plugins(entry_points=[])
    for name in ("memory", "sqlite"):
        assert plugins.get("source", name).load() is plugins.get("sink", name).load()


def test_builtin_names_load_nobody_else(install: Install) -> None:
    """Asking for a built-in name does not import installed plugins; asking for another does."""
    install("slip_lazy", CACHE)
    plugins = Plugins()
    plugins.get("cache", "memory")
    assert "slip_lazy" not in sys.modules
    plugins.get("cache", "vault")
    assert "slip_lazy" in sys.modules


def test_listing_imports_neither_backends_nor_clients() -> None:
    """A report leaves the backends themselves, and every client library, alone."""
    code = """if True:
        import sys
        from slipcore.plugins.registry import Registry
        from slipcore.plugins import Plugins
        before = set(sys.modules)
        Plugins.from_env({}).report()
        new = set(sys.modules) - before
        clients = {"aiokafka", "rocksdict", "redis", "fastavro", "sqlite3"} & new
        backends = {m for m in new if m.startswith("slipcore.backends.")}
        assert not clients, clients
        assert backends <= {"slipcore.backends.plugin", *before}, backends
    """
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)


def test_a_plugin_is_found_by_its_entry_point(install: Install) -> None:
    """What an installed distribution registers is there by name, with its owner."""
    install("slip_vault", CACHE, version="2.3", entry="vault")
    plugins = Plugins()
    backend = plugins.get("cache", "vault")
    assert backend.owner == "slip-vault:vault"
    assert (backend.distribution, backend.version) == ("slip-vault", "2.3")
    assert backend.load().__name__ == "Vault"
    assert backend.options_type() is None
    assert only(plugins, "vault") == PluginInfo(
        "vault", "slip-vault", "2.3", "loaded", {"cache": ("vault",)}
    )


def test_a_plugin_may_register_nothing(install: Install) -> None:
    """A module without hooks is a plugin that provides nothing, and asks whether it is to."""
    install("slip_empty", "")
    info = only(Plugins(), "slip_empty")
    assert (info.status, info.provides) == ("loaded", {})
    assert info.reason == "it registers nothing: are its hooks marked with @hookimpl?"
    told = (
        " It may come with the plugin slip-empty:slip_empty, which is loaded: it registers "
        "nothing: are its hooks marked with @hookimpl?"
    )
    assert Plugins(allow=["slip_empty"]).missing("empty").endswith(told)


def test_hooks_may_share_a_function(install: Install) -> None:
    """Beside marked hooks a function that is not marked is nobody's but the plugin's own."""
    install(
        "slip_shared",
        """
        def register_topics(register):
            register("mine", dict)

        @hookimpl
        def register_sinks(register):
            register_topics(register)
        """,
    )
    assert only(Plugins(), "slip_shared").provides == {"sink": ("mine",)}


def test_a_plugin_may_take_fewer_arguments_than_are_offered(install: Install) -> None:
    """A hook without parameters still loads: specifications may grow."""
    install("slip_terse", "@hookimpl\ndef register_sinks():\n    pass\n")
    info = only(Plugins(), "slip_terse")
    assert (info.status, info.reason) == ("loaded", "its hooks register nothing")


def test_all_five_kinds_can_be_registered(install: Install) -> None:
    """Each hook registers its own kind, and factories may be callables."""
    install(
        "slip_all",
        "".join(
            f"\n@hookimpl\ndef register_{kind}s(register):\n    register('mine', dict)\n"
            for kind in KINDS
        ),
    )
    plugins = Plugins()
    assert [plugins.get(kind, "mine").load() for kind in KINDS] == [dict] * 5
    assert only(plugins, "slip_all").provides == dict.fromkeys(KINDS, ("mine",))


def test_the_report_is_ordered(install: Install) -> None:
    """The built-in plugin comes first, then the others by name, however they are found."""
    install("slip_b", "")
    install("slip_a", "")
    found = [e for e in entry_points(group="slipcore") if e.name.startswith("slip_")]
    for order in (found, found[::-1]):
        names = [plugin.name for plugin in Plugins(entry_points=order).report()]
        assert names == ["builtin", "slip_a", "slip_b"]


def test_plugins_are_loaded_once(install: Install) -> None:
    """Loading again, listing and asking do not load again."""
    install("slip_once", "import sys\nsys.slip_loads = getattr(sys, 'slip_loads', 0) + 1\n")
    plugins = Plugins()
    plugins.load()
    plugins.load()
    plugins.report()
    assert vars(sys).pop("slip_loads") == 1


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({}, {"slip_a", "slip_b"}),
        ({"SLIP_PLUGINS": ""}, set()),
        ({"SLIP_PLUGINS": "slip_a"}, {"slip_a"}),
        ({"SLIP_PLUGINS": " Slip-A , slip.b"}, {"slip_a", "slip_b"}),
        ({"SLIP_DISABLE_PLUGINS": "slip-a"}, {"slip_b"}),
        ({"SLIP_DISABLE_PLUGINS": "slip-a:slip_a"}, {"slip_b"}),
        ({"SLIP_DISABLE_PLUGINS": "*"}, set()),
        ({"SLIP_PLUGINS": "slip_a,slip_b", "SLIP_DISABLE_PLUGINS": "slip_b"}, {"slip_a"}),
    ],
)
def test_which_plugins_are_used(install: Install, environ: dict[str, str], used: set[str]) -> None:
    """SLIP_PLUGINS allows and SLIP_DISABLE_PLUGINS denies, by plugin, distribution or both."""
    install("slip_a", CACHE)
    install("slip_b", CACHE)
    report = [p for p in Plugins.from_env(environ).report() if p.name in ("slip_a", "slip_b")]
    assert {p.name for p in report if p.status == "loaded"} == used
    assert {p.name for p in report if p.status == "disabled"} == {"slip_a", "slip_b"} - used
    assert all(p.reason for p in report if p.status == "disabled")


def test_a_disabled_plugin_is_not_imported(install: Install) -> None:
    """What is disabled runs none of its code."""
    install("slip_broken", "raise RuntimeError('half built')")
    Plugins(deny=["slip_broken"], strict=True).load()
    assert "slip_broken" not in sys.modules


def test_allowing_what_is_not_installed(install: Install) -> None:
    """A name in SLIP_PLUGINS that nothing answers to is an error with the nearest right one."""
    install("slip_vault", CACHE)
    with pytest.raises(ConfigError, match="'slip-vautl', which is not installed. Did you mean"):
        Plugins.from_env({"SLIP_PLUGINS": "slip_vautl"}).load()
