"""Serve the venue, and audit its ledger."""

from collections.abc import Callable

from opslab.context import Context
from opslab.model.messages.venue_messages import VenueProgress
from opslab.runs.processes import venue_service
from opslab.runs.processes.venue_service import VenueObserver, VenueOptions, audit_venue
from opslab.system import StopSignals

__all__ = ["VenueOptions", "audit_venue", "serve"]


def serve(
    context: Context, options: VenueOptions, signals: StopSignals, observer: VenueObserver
) -> VenueProgress | None:
    """Serve until a signal. Returns the last progress of the replay."""

    def on_signal(call: Callable[[int], None]) -> None:
        signals.on_signal = call
        if signals.count:
            call(signals.count)

    plan, resumes = venue_service.plan_venue(context, options)
    return venue_service.serve(context, plan, resumes, on_signal, observer)
