"""What a plugin requires and registers: a core, factories, settings."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from slipcore.choice import choose
from slipcore.config import Config
from slipcore.interfaces import ConfigError, MissingDependencyError, PluginError
from slipcore.plugins import Plugins, backend_of_setting, claimant
from slipcore.plugins.versions import unmet

from .conftest import CACHE, Install, only


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
