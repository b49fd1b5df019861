"""Which backend a resource gets, and with which settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipcore.choice import Choice, choose
from slipcore.config import Config
from slipcore.interfaces import ConfigError
from slipcore.plugins import Plugins


class TestBackends:
    """`[backends.NAME]` holds what all resources on a backend share."""

    def choice(self, tmp_path: Path, text: str, **environ: str) -> Choice:
        (tmp_path / "slip.toml").write_text(text)
        config = Config.load(tmp_path, environ)
        return choose("topic", "orders", plugins=Plugins([]), config=config)

    def test_shared_settings(self, tmp_path: Path) -> None:
        """A resource's own entry wins, and the environment over both."""
        text = "[backends.sqlite]\npartitions = 3\npoll_interval = 0.1\n"
        options = self.choice(tmp_path, text).options()
        assert (options.partitions, options.poll_interval) == (3, 0.1)
        text += "[topics.orders]\npartitions = 4\n"
        assert self.choice(tmp_path, text).options().partitions == 4
        given = self.choice(tmp_path, text, SLIP_BACKENDS__SQLITE__POLL_INTERVAL="0.2").options()
        assert (given.partitions, given.poll_interval) == (4, 0.2)

    def test_settings_of_another_kind_are_left_to_it(self, tmp_path: Path) -> None:
        """A cache on sqlite is not told how many partitions topics have."""
        (tmp_path / "slip.toml").write_text("[backends.sqlite]\npartitions = 3\n")
        config = Config.load(tmp_path, {})
        made = choose("cache", "counts", plugins=Plugins([]), config=config)
        assert made.settings == {}

    def test_a_backend_that_nobody_has(self, tmp_path: Path) -> None:
        """A misspelled table is an error, with the nearest name."""
        with pytest.raises(ConfigError, match=r"\[backends.sqlit\] is of no backend.*'sqlite'"):
            self.choice(tmp_path, "[backends.sqlit]\npartitions = 3\n")

    def test_a_setting_that_no_kind_has(self, tmp_path: Path) -> None:
        """A misspelled setting is an error, with its line and the nearest name."""
        with pytest.raises(ConfigError, match=r"slip.toml:2.*has no setting 'partition'.*partitio"):
            self.choice(tmp_path, "[backends.sqlite]\npartition = 3\n")
