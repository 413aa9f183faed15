"""The registry of all drills."""

from opslab.drills.drill import Drill
from opslab.drills.kinds import (
    disconnect,
    engine_hang,
    missing_update,
    rate_limit_exhaustion,
    reconciliation_mismatch,
    restart_recovery,
    stale_market_data,
    stale_orderbook,
    venue_overload,
)
from opslab.errors import Usage
from opslab.model.primitives.ids import nearest, shown

DRILLS: dict[str, Drill] = {
    module.DRILL.name: module.DRILL
    for module in (
        stale_market_data,
        reconciliation_mismatch,
        restart_recovery,
        disconnect,
        missing_update,
        rate_limit_exhaustion,
        stale_orderbook,
        venue_overload,
        engine_hang,
    )
}


def find_drill(name: str) -> Drill:
    """Raises Usage, with the nearest names."""
    drill = DRILLS.get(name)
    if drill is None:
        close = nearest(name, DRILLS)
        guess = f"; did you mean {', '.join(close)}?" if close else ""
        raise Usage(f"unknown drill {shown(name)}{guess}", hint=f"known: {', '.join(DRILLS)}")
    return drill
