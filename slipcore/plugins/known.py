"""Backends that the core does not have, by name: who brings them, and which settings are theirs."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parent.parent.parent
"""Where the project's other distributions lie, if this core is the editable one of a checkout."""


@dataclass(frozen=True, slots=True)
class Known:
    """A backend that comes with a distribution of this project.

    Attributes:
        distribution: what brings it.
        kinds: what it is.
        settings: the settings that only its topics have, with `_` for other characters.
    """

    distribution: str
    kinds: tuple[str, ...]
    settings: frozenset[str] = frozenset()

    def install(self) -> str:
        """How to install it from here, as the end of a sentence."""
        folder = Path("plugins", self.distribution.replace("-", "_"))
        if (CHECKOUT / folder / "pyproject.toml").is_file():
            return f"pip install -e {shlex.quote(_from_here(CHECKOUT / folder))}"
        return (
            f"install {folder.as_posix()} from a checkout of this project, by its path: on PyPI "
            "the name is not this project's"
        )


KNOWN: Final[Mapping[str, Known]] = {
    "kafka": Known(
        "slip-kafka",
        ("source", "sink", "checkpoint_store"),
        # The names of aiokafka and librdkafka that no other client of a log has.
        frozenset(
            """
            acks api_version auto_commit_interval_ms bootstrap_servers broker_address_family
            check_crcs client_id compression_codec compression_type connections_max_idle_ms
            consumer_timeout_ms enable_auto_commit enable_auto_offset_store enable_idempotence
            exclude_internal_topics fetch_max_bytes fetch_max_wait_ms fetch_min_bytes
            fetch_wait_max_ms heartbeat_interval_ms isolation_level linger_ms max_batch_size
            max_partition_fetch_bytes max_poll_interval_ms max_poll_records max_request_size
            message_max_bytes metadata_broker_list metadata_max_age_ms partition_assignment_strategy
            queue_buffering_max_ms rebalance_timeout_ms request_timeout_ms retry_backoff_ms
            sasl_kerberos_domain_name sasl_kerberos_service_name sasl_mechanism sasl_mechanisms
            sasl_oauth_token_provider sasl_oauthbearer_config sasl_password sasl_plain_password
            sasl_plain_username sasl_username security_protocol session_timeout_ms ssl_ca_location
            ssl_certificate_location ssl_context ssl_key_location ssl_key_password
            statistics_interval_ms transaction_timeout_ms transactional_id
            """.split()  # noqa: SIM905  # as a list it is a page
        ),
    ),
    "rocks": Known("slip-rocks", ("cache", "checkpoint_store")),
    "redis": Known("slip-redis", ("source", "sink", "cache", "checkpoint_store")),
    "avro": Known("slip-avro", ("codec",)),
}
"""Backends by name that the core does not have, and who brings them."""


def brought(name: str, kind: str | None) -> bool:
    """Whether a distribution of this project brings a backend; None: of any kind."""
    known = KNOWN.get(name)
    return known is not None and (kind is None or kind in known.kinds)


def install_command(plugin: str) -> str | None:
    """How to install a plugin of this project, to end a sentence; None: it is none.

    Args:
        plugin: its name, that of its distribution, or both with a colon, in lower case.
    """
    for name, known in KNOWN.items():
        if plugin in (name, known.distribution, f"{known.distribution}:{name}"):
            return known.install()
    return None


def backend_of_setting(name: str) -> str | None:
    """The backend that claims a setting, installed or not; None: nobody does."""
    spelled = name.replace(".", "_").replace("-", "_")
    return next((known for known, it in KNOWN.items() if spelled in it.settings), None)


def claimant(settings: Iterable[str]) -> str | None:
    """The backend that claims one of the settings, the first that is claimed."""
    return next((owner for name in settings if (owner := backend_of_setting(name))), None)


def remedy(missing: str, distribution: str) -> str:
    """What to do where a module that a distribution stands on is missing, to end a sentence."""
    if missing in sys.stdlib_module_names:
        return "this Python was built without it"
    for known in KNOWN.values():
        if known.distribution == distribution:
            return known.install()
    return f"install {distribution} again, with its dependencies"


def _from_here(folder: Path) -> str:
    """A path as a command takes it: relative where it lies below, and never like a bare name."""
    here = Path.cwd()
    if not folder.is_relative_to(here):
        return str(folder)
    near = str(folder.relative_to(here))
    return near if os.sep in near else os.path.join(".", near)  # noqa: PTH118  # Path drops "./"
