"""Plugins are found, kept apart from each other, and what is wrong with one is said."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest
from packaging.requirements import Requirement

from slipcore.choice import choose
from slipcore.config import Config
from slipcore.interfaces import (
    BackendConflictError,
    ConfigError,
    MissingDependencyError,
    PluginError,
    PluginLoadError,
    UnknownBackendError,
)
from slipcore.plugins import KINDS, PluginInfo, Plugins, backend_of_setting, claimant, known
from slipcore.plugins.versions import unmet

Install = Callable[..., None]

HOOKS = "from slipcore import hookimpl\n"
CACHE = """
    @hookimpl
    def register_caches(register):
        register("vault", "{module}:Vault", summary="a cache")

    class Vault: ...
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one plugin, named like its module."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str, *, version: str = "1.0", entry: str | None = None) -> None:
        text = HOOKS + dedent(source).replace("{module}", name)
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)  # the real one, where there is one
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        dist = name.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[slipcore]\n{entry or name} = {name}\n")

    yield make
    for module in set(sys.modules) - before:
        del sys.modules[module]


def only(plugins: Plugins, name: str) -> PluginInfo:
    (info,) = [info for info in plugins.report() if info.name == name]
    return info


# --- what is built in ---------------------------------------------------------------------


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


# --- what is installed --------------------------------------------------------------------


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


# --- what is broken -----------------------------------------------------------------------

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


# --- which core a plugin requires ---------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("slipcore", True),
        ("slipcore>=0.1,<1", True),
        ("slipcore<1,>=0.1.1", False),
        ("slipcore>=9", False),
        ("SlipCore [testing] (>=9)", False),
        ("slipcore>=9; python_version < '4'", True),
        ("slipcore[testing]>=9; extra == 'testing'", True),
        ("slipcore-nats>=9", True),
        ("slipcore ~= 0.1.0", True),
        ("slipcore~=0.2", False),
        ("slipcore==0.1.*", True),
        ("slipcore==0.2.*", False),
        ("slipcore!=0.1.*", False),
        ("slipcore!=0.1", False),
        ("slipcore==0.1", True),
        ("slipcore>0.1", False),
        ("slipcore<=0.1", True),
        ("slipcore<0.1.1,>0.0.9", True),
        ("slipcore>=0.2rc1", True),
        ("slipcore @ file:///there", True),
    ],
)
def test_the_core_that_a_distribution_requires(requirement: str, met: bool) -> None:
    """Plain releases are judged as an installer judges them; markers and the rest are its own."""
    unmet_one = unmet(["httpx>=99", requirement], "slipcore", "0.1.0")
    assert (unmet_one is None) == met
    if requirement.partition(";")[0] == requirement and "rc" not in requirement:
        judged = Requirement(requirement)
        assert met == (judged.name.lower() != "slipcore" or judged.specifier.contains("0.1.0"))


def test_a_core_whose_version_is_not_known() -> None:
    """On the path without being installed it fits everything; a version under way its release."""
    assert unmet(["slipcore>=9"], "slipcore", "") is None
    assert unmet(["slipcore>=0.2"], "slipcore", "0.2.0.dev3+local") is None
    assert unmet(["slipcore<0.2, >=0.1"], "slipcore", "0.2.0.dev3") == "slipcore<0.2, >=0.1"


def test_a_plugin_for_another_core_is_not_imported(install: Install, tmp_path: Path) -> None:
    """What its distribution requires is the reason, and none of its code runs."""
    install("slip_vault", CACHE)
    metadata = tmp_path / "slip_vault-1.0.dist-info/METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: slipcore>=9\n\nRequires-Dist: no\n")
    assert only(Plugins(), "slip_vault").reason == (
        "it requires slipcore>=9, and this is slipcore 0.1.0"
    )
    assert "slip_vault" not in sys.modules


# --- who is used --------------------------------------------------------------------------


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


# --- names --------------------------------------------------------------------------------


def test_two_plugins_with_one_name(install: Install) -> None:
    """Both are listed; using the name says who they are; with one disabled the other is used."""
    install("slip_a", CACHE)
    install("slip_b", CACHE)
    plugins = Plugins()
    assert only(plugins, "slip_a").provides == only(plugins, "slip_b").provides
    assert "vault" in plugins.names("cache")
    with pytest.raises(BackendConflictError) as info:
        plugins.get("cache", "vault")
    assert str(info.value) == (
        "The cache backend 'vault' is registered by slip-a:slip_a and by slip-b:slip_b: disable "
        "one of them, e.g. with SLIP_DISABLE_PLUGINS=slip-b:slip_b."
    )
    settled = Plugins.from_env({"SLIP_DISABLE_PLUGINS": "slip-b:slip_b"})
    assert settled.get("cache", "vault").owner == "slip-a:slip_a"


def test_an_unknown_name(install: Install) -> None:
    """It says what there is, what was meant, and which plugins are not used and why."""
    install("slip_broken", "raise RuntimeError('half built')")
    install("slip_vault", CACHE)
    install("slip_other", CACHE)
    own = [e for e in entry_points(group="slipcore") if e.name.startswith("slip_")]
    with pytest.raises(UnknownBackendError) as info:
        Plugins(entry_points=own, deny=["slip_other"]).get("cache", "valt")
    assert str(info.value) == (
        "There is no cache backend 'valt': there are memory, sqlite, vault. Did you mean 'vault'? "
        "Plugin slip-broken:slip_broken failed: importing slip_broken raised RuntimeError: half "
        "built. Plugin slip-other:slip_other is disabled: it is among those not to be used (deny= "
        "in code)."
    )


@pytest.mark.parametrize(
    ("kind", "name", "distribution"),
    [
        ("source", "kafka", "slip-kafka"),
        ("cache", "rocks", "slip-rocks"),
        ("sink", "redis", "slip-redis"),
        ("codec", "avro", "slip-avro"),
    ],
)
def test_a_name_that_another_distribution_brings(kind: str, name: str, distribution: str) -> None:
    """Where it is not installed, the command that installs it from a checkout is named."""
    with pytest.raises(UnknownBackendError) as info:
        Plugins(entry_points=[]).get(kind, name)
    folder = distribution.replace("-", "_")
    assert f"It comes with {distribution}: pip install -e plugins/{folder}." in str(info.value)


def test_allowing_what_this_project_brings() -> None:
    """Where it is not installed, the command that installs it from a checkout is named."""
    for name in ("slip-kafka", "Kafka", "slip_kafka:kafka"):
        with pytest.raises(ConfigError, match=r"which is not installed: pip install -e plugins/sl"):
            Plugins([], allow=[name]).load()


def test_what_another_distribution_brings_and_is_of_another_kind(install: Install) -> None:
    """Nobody is told to install what would not help, whether it is a name of its own or near it."""
    plugins = Plugins(entry_points=[])
    assert plugins.missing("kafka", "cache") == (
        "There is no cache backend 'kafka': there are memory, sqlite. 'kafka', of slip-kafka, is a "
        "topic and a checkpoint store, and no cache."
    )
    assert plugins.missing("json", "cache").endswith(" 'json' is a codec, and no cache.")
    assert "rocks" not in plugins.missing("rokcs", "codec")
    assert "pip install" not in plugins.missing("avro", "source")
    install("slip_kafka", "raise RuntimeError('half built')", entry="kafka")
    failed = Plugins(allow=["kafka"])
    assert failed.missing("kafka", "cache").endswith("and a checkpoint store, and no cache.")
    assert " It would come with the plugin slip-kafka:kafka, " in failed.missing("kafka", "source")


def test_what_is_known_of_other_distributions_is_what_they_bring() -> None:
    """The kinds that are told of a backend are those that its plugin registers."""
    for entry_point in (e for e in entry_points(group="slipcore") if e.name in known.KNOWN):
        plugins = Plugins([entry_point])
        kinds = {backend.kind for backend in plugins.of_name(entry_point.name)}
        assert kinds == set(known.KNOWN[entry_point.name].kinds)


def test_a_misspelled_name_that_another_distribution_brings() -> None:
    """A near miss of such a name leads to the distribution too."""
    with pytest.raises(UnknownBackendError, match="Did you mean 'rocks'.*slip-rocks"):
        Plugins(entry_points=[]).get("cache", "rokcs")


@pytest.mark.parametrize(
    ("cwd", "command"),
    [
        (".", "pip install -e plugins/slip_kafka"),
        ("plugins", "pip install -e ./slip_kafka"),
        ("plugins/slip_kafka", "pip install -e ./."),
        ("examples", "pip install -e '{root}/plugins/slip_kafka'"),
    ],
)
def test_the_command_of_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cwd: str, command: str
) -> None:
    """It can be typed where one is, and its path is never like a name of the package index."""
    root = tmp_path / "a checkout"
    for folder in ("examples", "plugins/slip_kafka"):
        (root / folder).mkdir(parents=True)
    (root / "plugins/slip_kafka/pyproject.toml").touch()
    monkeypatch.setattr(known, "CHECKOUT", root)
    monkeypatch.chdir(root / cwd)
    assert known.KNOWN["kafka"].install() == command.format(root=root)


def test_a_core_that_is_of_no_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder is not at hand the distribution is named, and no command that would fail."""
    monkeypatch.setattr(known, "CHECKOUT", tmp_path)
    with pytest.raises(UnknownBackendError) as info:
        Plugins(entry_points=[]).get("source", "kafka")
    assert str(info.value).endswith(
        " It comes with slip-kafka: install plugins/slip_kafka from a checkout of this project, by "
        "its path: on PyPI the name is not this project's."
    )


def test_a_misspelled_name_of_a_plugin_that_failed(install: Install) -> None:
    """The near miss leads to the plugin and to why it failed, as a guess: it has told no name."""
    install("slip_vault", "raise RuntimeError('half built')", entry="vault")
    plugins = Plugins(allow=["vault"])
    with pytest.raises(UnknownBackendError) as info:
        plugins.get("cache", "valt")
    assert str(info.value) == (
        "There is no cache backend 'valt': there are memory, sqlite. It may come with the plugin "
        "slip-vault:vault, which failed: importing slip_vault raised RuntimeError: half built."
    )
    assert plugins.missing("valt").startswith("There is no backend 'valt': there are json, memory")


def test_a_misspelled_name_that_a_plugin_registered_before_it_failed(install: Install) -> None:
    """What it has told is known: of that kind, and of no other."""
    install("slip_safe", CACHE + "\n    @hookimpl\n    def register_sinks(register): 1 / 0\n")
    plugins = Plugins(allow=["slip_safe"])
    assert (
        "Did you mean 'vault'? It would come with the plugin slip-safe:slip_safe, which failed: "
        in plugins.missing("valt", "cache")
    )
    assert "Did you mean" not in plugins.missing("valt", "codec")


def test_what_may_be_a_backend(install: Install) -> None:
    """While a plugin has failed any name may be, but one that is almost another's."""
    assert Plugins([]).may_be("rocks")
    assert not Plugins([]).may_be("morse")
    install("slip_broken", "raise RuntimeError('half built')", entry="broken")
    plugins = Plugins(allow=["broken"])
    assert plugins.may_be("morse")
    assert plugins.may_be("broken")
    assert not plugins.may_be("sqlit")


def test_an_installed_distribution_that_does_not_register_its_name(install: Install) -> None:
    """Nobody is told to install what is there."""
    install("slip_kafka", CACHE, version="0.0.9")
    with pytest.raises(UnknownBackendError) as info:
        Plugins(allow=["slip_kafka"]).get("source", "kafka")
    assert "It belongs to slip-kafka; the installed 0.0.9 does not register it." in str(info.value)
    assert "pip install" not in str(info.value)


# --- what is registered -------------------------------------------------------------------

FACTORY = """
    @hookimpl
    def register_caches(register):
        register("vault", "{place}", options="{place}")
"""


def test_a_missing_library_is_named(install: Install) -> None:
    """Where a backend's library is missing, the error names it, the backend and the remedy."""
    install("slip_vault", FACTORY.replace("{place}", "slip_vault_code:Vault"))
    install("slip_vault_code", "import slip_nowhere.client\n")
    backend = Plugins().get("cache", "vault")
    with pytest.raises(MissingDependencyError) as info:
        backend.load()
    assert str(info.value) == (
        "The cache backend 'vault' of slip-vault needs the module slip_nowhere, which is not "
        "installed: install slip-vault again, with its dependencies."
    )
    assert isinstance(info.value, ImportError)
    assert info.value.name == "slip_nowhere"
    with pytest.raises(MissingDependencyError):
        backend.options_type()


def test_a_missing_library_of_this_project_names_the_command(install: Install) -> None:
    """For a distribution of this project the remedy is its local install."""
    install("slip_rocks_code", "import slip_nowhere\n")
    install("slip_rocks", FACTORY.replace("{place}", "slip_rocks_code:Vault"))
    with pytest.raises(MissingDependencyError, match="pip install -e plugins/slip_rocks"):
        Plugins(allow=["slip_rocks"]).get("cache", "vault").load()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (
            "slip_vault.nowhere:Vault",
            "slip-vault:slip_vault registers the cache backend 'vault' in the module "
            "slip_vault.nowhere, and there is no slip_vault.nowhere.",
        ),
        (
            "slip_wrong:Vault",
            "The cache backend 'vault' of slip-vault:slip_vault can't be used: importing "
            "slip_wrong raised ModuleNotFoundError: No module named 'slip_wrong.nothing'; "
            "'slip_wrong' is not a package.",
        ),
        (
            "slip_raising:Vault",
            "The cache backend 'vault' of slip-vault:slip_vault can't be used: importing "
            "slip_raising raised RuntimeError: half built.",
        ),
    ],
)
def test_a_plugins_own_mistake_is_told(install: Install, place: str, sentence: str) -> None:
    """A module that is not there or can't be imported is told with whose it is, and the cause."""
    install("slip_wrong", "import slip_wrong.nothing\n")
    install("slip_raising", "raise RuntimeError('half built')")
    install("slip_vault", FACTORY.replace("{place}", place))
    backend = Plugins().get("cache", "vault")
    for use in (backend.load, backend.options_type):
        with pytest.raises(PluginError) as info:
            use()
        assert str(info.value) == sentence
        assert isinstance(info.value.__cause__, (ModuleNotFoundError, RuntimeError))


def test_a_factory_that_can_not_be_called(install: Install) -> None:
    """It names plugin, place and type; the same as options is no class."""
    install("slip_vault", FACTORY.replace("{place}", "sys:maxsize"))
    backend = Plugins().get("cache", "vault")
    with pytest.raises(PluginError) as info:
        backend.load()
    assert str(info.value) == (
        "slip-vault:slip_vault registers sys:maxsize as the factory of the cache backend 'vault', "
        "and that is of type int, which is not callable."
    )
    with pytest.raises(PluginError, match="it is no Struct and no dataclass"):
        backend.options_type()


def test_a_factory_that_is_not_there(install: Install) -> None:
    """A place that has no such attribute is an error that names plugin and place."""
    install("slip_vault", FACTORY.replace("{place}", "json:Vault"))
    with pytest.raises(PluginError) as info:
        Plugins().get("cache", "vault").load()
    assert str(info.value) == (
        "slip-vault:slip_vault registers the cache backend 'vault' as json:Vault, and json has no "
        "Vault."
    )


def test_options_that_are_no_settings(install: Install) -> None:
    """An options class has to be a Struct or a dataclass."""
    install("slip_vault", FACTORY.replace("{place}", "decimal:Decimal"))
    with pytest.raises(PluginError, match="registers Decimal as the options .* no dataclass"):
        Plugins().get("cache", "vault").options_type()


# --- settings that speak for a backend ----------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "backend"),
    [
        (["bootstrap_servers"], "kafka"),
        (["bootstrap.servers"], "kafka"),
        (["group_id", "sasl_plain_password"], "kafka"),
        (["client_id", "acks"], "kafka"),
        (["group_id", "group_instance_id", "auto_offset_reset"], None),
        (["path", "partitions", "session_timeout", "poll_interval"], None),
        ([], None),
    ],
)
def test_settings_claim_a_backend(settings: list[str], backend: str | None) -> None:
    """Kafka's own settings claim it, under the names of both clients; common ones claim nobody."""
    assert claimant(settings) == backend


def test_the_backend_of_a_setting() -> None:
    """One setting tells whose it is."""
    assert backend_of_setting("security_protocol") == "kafka"
    assert backend_of_setting("url") is None


def test_a_source_and_a_sink_are_no_topic(install: Install, tmp_path: Path) -> None:
    """Of one name, but made by two factories: a topic on it is refused before anything starts."""
    install(
        "slip_halves",
        """
        @hookimpl
        def register_sources(register):
            register("halves", "{module}:Reads")

        @hookimpl
        def register_sinks(register):
            register("halves", "{module}:Writes")

        class Reads: ...
        class Writes: ...
        """,
    )
    with pytest.raises(ConfigError, match="'halves' of slip-halves:slip_halves is a source and no"):
        choose("topic", "t", plugins=Plugins(), config=Config.load(tmp_path, {}), backend="halves")
