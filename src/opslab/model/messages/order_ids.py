"""The origin of an order by its client order id: this run, the lab, the exchange, or another client."""

import re

from opslab.model.messages.forced_close import forced_close_kind
from opslab.model.messages.venue_messages import FLATTEN_PREFIX

WIRE_PREFIX = "x-aHRE4BCj-"
"""Begins each client order id that NautilusTrader's Binance adapter sends."""

_GENERATED = re.compile(r"O-?\d{8}-?\d{6}-?\d{3}-?\d{3}-?\d+(-E\d+)?")


def is_external(wire_id: str) -> bool:
    """Whether neither an engine, nor the lab, nor the exchange placed the order. wire_id: as the venue has it."""
    return not wire_id.startswith((WIRE_PREFIX, FLATTEN_PREFIX)) and forced_close_kind(wire_id) is None


def is_generated(client_order_id: str) -> bool:
    """Whether an engine generated the id: it has the date, the numbers of trader and strategy, and a count. An
    execution algorithm appends the number of the part.
    """
    return _GENERATED.fullmatch(client_order_id) is not None
