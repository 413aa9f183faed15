"""Supervise the venue child of a paper run: start, query, restart after its death, stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.errors import Environment, LabError, Refused
from opslab.model.journal.journal_event import JournalEvent, decode
from opslab.model.journal.venue_events import LOGGED_EVENTS, LedgerWriteFailed, VenueStarted
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan, VenueProgress
from opslab.model.pipe.messages import AcknowledgeBars, VenueEnded, VenueLogEntry
from opslab.model.primitives.ids import VenueId
from opslab.ports import Clock
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import VENUE_COMMAND, ChildProcess
from opslab.runs.processes.inbox import ChildEnded, FromChild, Inbox
from opslab.runs.processes.venue_control_client import ControlClient
from opslab.runs.processes.venue_folder import prepare_run_venue
from opslab.runs.processes.venue_service import new_key
from opslab.runs.record.run_journal import RunJournal
from opslab.store.layout import Layout
from opslab.store.runs.owner import held
from opslab.system import random_token

MAX_VENUE_STARTS = 6
"""Maximum number of venue starts in one run."""
END_SECONDS = 60.0
"""Deadline for the end of the venue; it is killed long before."""
REQUEST_SECONDS = 1.0
"""Timeout of a request to the venue, which answers in a few milliseconds."""
FLATTEN_REQUEST_SECONDS = 10.0
"""Timeout of a flatten request; the venue gives up earlier."""
MAX_REASON_CHARACTERS = 200
RETRY_BACKOFF_SECONDS = 5.0
"""No request for this long after one without an answer."""


@dataclass(frozen=True, slots=True)
class VenueFlattening:
    """What the venue did to flatten the account."""

    statement: AccountSnapshot
    """The account afterwards."""
    canceled: int
    closed: str
    """Signed quantity."""

    @property
    def was_flat(self) -> bool:
        return not self.canceled and self.closed.strip("-0.") == ""


@dataclass(frozen=True, slots=True)
class FlattenRefused:
    """The venue answered that it does not flatten the account, and changed nothing."""


class VenueSupervisor:
    def __init__(
        self,
        layout: Layout,
        plan: PaperPlan,
        logs: Path,
        clock: Clock,
        inbox: Inbox,
        command: Sequence[str] = VENUE_COMMAND,
    ) -> None:
        self.folder = layout.venue(VenueId(plan.run_id))
        self._plan: VenuePlan = plan.venue(layout.home, self.folder, new_key(), random_token())
        prepare_run_venue(layout, self._plan)
        self._logs = logs
        self._clock = clock
        self._inbox = inbox
        self._command = command
        self._child: ChildProcess | None = None
        self._control: ControlClient | None = None
        self._retry_at_s = 0.0
        self.start_count = 0
        self._recorded_failed_writes = 0
        """Of this start."""
        self.is_listening = False
        self.can_flatten = True
        """Whether the venue flattens the account on request, by its last statement; True before the first one."""
        self.endpoints: VenueEndpoints | None = None

    @property
    def source(self) -> str:
        """Source name in the inbox, new with each start."""
        return f"venue {self.start_count}"

    @property
    def log(self) -> Path:
        return self._logs / ("venue.log" if self.start_count == 1 else f"venue-{self.start_count}.log")

    def start(self) -> None:
        """Start or restart. A restart keeps account, port and key, so that clients reconnect.

        Raises Environment when no process can be started.
        """
        self.start_count += 1
        self.can_flatten = True
        self._recorded_failed_writes = 0
        served = Environment(f"venue {self.folder.name} is served already")
        with held(self.folder, served) as lock:  # inherited by the child: see `venue_folder.is_venue_running`
            self._child = ChildProcess("venue", self._plan, self.log, self._clock, self._command, inherits=(lock,))
        self._inbox.register(self.source, self._child)

    def on_listening(self, endpoints: VenueEndpoints) -> VenueStarted:
        self.is_listening = True
        port = int(endpoints.rest_url.rpartition(":")[2])
        self._plan = self._plan.model_copy(update={"port": port})
        self.endpoints = endpoints
        self._retry_at_s = 0.0
        return VenueStarted(
            start_number=self.start_count,
            rest_url=endpoints.rest_url,
            ws_url=endpoints.ws_url,
            ws_trading_url=endpoints.ws_trading_url,
        )

    def record_failed_writes(self, progress: VenueProgress, log: RunJournal, *, is_last: bool = False) -> None:
        """Record failed writes of the ledger: the first at once, then each time that their number has doubled.

        A full disk fails every request; the last number is recorded when the venue ends.
        """
        count, recorded = progress.failed_ledger_writes, self._recorded_failed_writes
        if count > recorded and (is_last or count >= 2 * recorded):
            log.append(LedgerWriteFailed(start_number=self.start_count, count=count))
            self._recorded_failed_writes = count

    def acknowledge_all(self) -> None:
        """The engine has handled every candle that was closed so far."""
        if self._child:
            self._child.send(AcknowledgeBars(minutes=None))

    def statement(self) -> AccountSnapshot | None:
        """The account as the venue reports it; None without an answer."""
        answer = self._ask("statement")
        if answer is None:
            return None
        statement = AccountSnapshot.model_validate(answer, strict=False)
        self.can_flatten = statement.can_flatten
        return statement

    def flatten(self, reason: str) -> VenueFlattening | FlattenRefused | None:
        """Have the venue cancel every order, close the position and accept no more orders. None without an answer."""
        self._retry_at_s = 0.0
        try:
            answer = self._ask("flatten", FLATTEN_REQUEST_SECONDS, reason=reason[:MAX_REASON_CHARACTERS], hold=True)
        except Refused:
            return FlattenRefused()
        if answer is None:
            return None
        statement = AccountSnapshot.model_validate(answer["statement"], strict=False)
        return VenueFlattening(statement, answer["canceled"], answer["closed"])

    def _ask(self, do: str, seconds: float = REQUEST_SECONDS, **params: Any) -> Any:
        """None without an answer. Raises Refused."""
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_at_s:
            return None
        try:
            if self._control is None:
                self._control = ControlClient(self.folder, self._plan.token, timeout_seconds=REQUEST_SECONDS)
            self._control.set_timeout(seconds)
            return self._control.request(do, **params)
        except Refused:  # an answer
            raise
        except (LabError, ValueError):
            self._retry_at_s = self._clock.monotonic_s() + RETRY_BACKOFF_SECONDS
            self._close_control()
            return None

    def on_ended(self, redact: Callable[[str], str]) -> str:
        """The process has ended. Returns why, as text."""
        assert self._child
        self.is_listening = False
        self._inbox.unregister(self.source)
        self._child.close()
        self._close_control()
        failure = self._child.failure(redact)
        self._child = None
        return failure.message if failure else "the venue process ended"

    def logged_event(self, entry: VenueLogEntry) -> JournalEvent | None:
        """The event for the journal; None for an entry that is not of the run."""
        kind = LOGGED_EVENTS.get(entry.event)
        return decode(kind, {**entry.fields, "venue_start": self.start_count}) if kind else None

    def end(self, redact: Callable[[str], str], on_entry: Callable[[VenueLogEntry], None]) -> VenueProgress | None:
        """Stop the venue and wait for its end, when no other child sends. Its last progress. Raises Environment."""
        self.stop()
        progress: VenueProgress | None = None
        while self.is_running:
            received = self._inbox.receive(END_SECONDS)
            if received is None:
                raise Environment("the venue does not end", hint=f"its output is in logs/{self.log.name}")
            match received:
                case FromChild(self.source, messages):
                    for message in messages:
                        if isinstance(message, VenueLogEntry):
                            on_entry(message)
                    ended = (message.progress for message in messages if isinstance(message, VenueEnded))
                    progress = next(ended, progress)
                case ChildEnded(self.source):
                    self.on_ended(redact)
        return progress

    def stop(self) -> None:
        if self._child:
            self._child.stop()

    def kill(self) -> None:
        self.is_listening = False
        if self._child:
            self._child.kill()

    @property
    def is_running(self) -> bool:
        return self._child is not None

    def _close_control(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
