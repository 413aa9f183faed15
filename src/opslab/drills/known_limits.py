"""Limits of the engine that a drill may pass with, each with its report at the source."""

from opslab.model.checks.drill import KnownLimit

ORDERS_IN_DOUBT = KnownLimit(
    name="orders-in-doubt",
    what="An order whose request was refused with 429, 418, 503 or -1008 is neither accepted nor rejected for the "
    "engine. It stays SUBMITTED or PENDING_CANCEL until the engine has asked for it, 30 s later, and is then "
    "canceled for the engine, without an answer of the venue; a run that ends before then leaves it in doubt.",
    upstream="https://github.com/nautechsystems/nautilus_trader/issues/4152",
    excuses=("orders in doubt", "last reconciliation"),
    evidence="orders_in_doubt",
)
