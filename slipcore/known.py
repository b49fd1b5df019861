"""Backends that the core does not have, by name: who brings them, and which settings are theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Known:
    """A backend that comes with a distribution of this project.

    Attributes:
        distribution: what brings it.
        install: the command that installs it from a checkout.
        settings: the settings that only its topics have, with `_` for other characters.
    """

    distribution: str
    install: str
    settings: frozenset[str] = frozenset()


KNOWN: Final[Mapping[str, Known]] = {
    "kafka": Known(
        "slip-kafka",
        "pip install -e plugins/slip_kafka",
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
    "rocks": Known("slip-rocks", "pip install -e plugins/slip_rocks"),
    "redis": Known("slip-redis", "pip install -e plugins/slip_redis"),
    "avro": Known("slip-avro", "pip install -e plugins/slip_avro"),
}
"""Backends by name that the core does not have, and who brings them."""


def backend_of_setting(name: str) -> str | None:
    """The backend that claims a setting, installed or not; None: nobody does."""
    spelled = name.replace(".", "_").replace("-", "_")
    return next((known for known, it in KNOWN.items() if spelled in it.settings), None)


def claimant(settings: Iterable[str]) -> str | None:
    """The backend that claims one of the settings, the first that is claimed."""
    return next((owner for name in settings if (owner := backend_of_setting(name))), None)
