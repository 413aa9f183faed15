"""The registry of all faults."""

from typing import Any

from opslab.venue.faults.fault import Fault
from opslab.venue.faults.kinds import (
    broken_ohlc,
    clock_skew,
    close,
    delay,
    depth_gap,
    drop,
    duplicate,
    duplicate_fill,
    external_trade,
    forced_close,
    garbage,
    halt,
    hang,
    http,
    jitter,
    late_fill,
    margin_call,
    refuse,
    refuse_flatten,
    reject_orders,
    reorder,
    reset,
    silence,
    stale_snapshot,
    swallow_ack,
    wrong_types,
    zero_quantity,
)

FAULTS: dict[str, Fault[Any]] = {
    module.FAULT.name: module.FAULT
    for module in (
        close, reset, refuse, silence, delay, jitter, duplicate, reorder, drop,
        depth_gap, stale_snapshot, garbage, wrong_types, broken_ohlc, zero_quantity,
        http, hang, clock_skew, reject_orders, swallow_ack, late_fill, duplicate_fill, external_trade,
        margin_call, forced_close, halt, refuse_flatten,
    )
}  # fmt: skip
