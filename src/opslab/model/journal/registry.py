"""Every event of the journal by its name."""

from opslab.model.journal.engine_events import CONTROL_EVENTS, ENGINE_EVENTS, ORDER_EVENTS
from opslab.model.journal.fault_events import FAULT_EVENTS
from opslab.model.journal.journal_event import Kinds, by_name
from opslab.model.journal.run_events import RUN_EVENTS
from opslab.model.journal.torn_end_event import JournalTornEndKept

EVENTS: Kinds = {
    **RUN_EVENTS,
    **ENGINE_EVENTS,
    **CONTROL_EVENTS,
    **FAULT_EVENTS,
    **ORDER_EVENTS,
    **by_name(JournalTornEndKept),
}
