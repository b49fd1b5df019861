"""Names: who brings one, and what is said of one that nobody does or two do."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from slipcore.interfaces import BackendConflictError, ConfigError, UnknownBackendError
from slipcore.plugins import Plugins, known

from .conftest import CACHE, Install, only


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
