"""The venue of a paper run from control's side: started, asked, started again when it dies, and put away."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from opslab.errors import Environment, LabError
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan, VenueProgress
from opslab.model.primitives.ids import VenueId
from opslab.ports import Clock
from opslab.runs.planning.plan import PaperPlan
from opslab.runs.processes.child_process import VENUE_COMMAND, ChildProcess
from opslab.runs.processes.inbox import Inbox
from opslab.runs.processes.venue_control_client import ControlClient
from opslab.runs.processes.venue_folder import prepare_run_venue
from opslab.runs.processes.venue_service import new_key
from opslab.store.layout import Layout
from opslab.store.runs.owner import held

VENUE_STARTS = 6
"""How often a venue may be started in one run."""
END_SECONDS = 60.0
"""It is killed long before."""
ASK_SECONDS = 1.0
"""How long control waits for the venue's word; it answers in a few milliseconds."""
FLATTEN_SECONDS = 10.0
"""It gives up flattening before."""
MOST_CHARACTERS = 200
SHY_SECONDS = 5.0
"""It is not asked again for so long after it did not answer."""


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
        self._plan: VenuePlan = plan.venue(layout.home, self.folder, new_key(), secrets.token_hex(32))
        prepare_run_venue(layout, self._plan)
        self._logs = logs
        self._clock = clock
        self._inbox = inbox
        self._command = command
        self._child: ChildProcess | None = None
        self._door: ControlClient | None = None
        self._shy_until_s = 0.0
        self.starts = 0
        self.listens = False
        self.endpoints: VenueEndpoints | None = None

    @property
    def who(self) -> str:
        """Its name in the inbox, a new one with each start."""
        return f"venue {self.starts}"

    @property
    def log(self) -> Path:
        return self._logs / ("venue.log" if self.starts == 1 else f"venue-{self.starts}.log")

    def start(self) -> None:
        """Again: with the same account, on the same port, with the same key, so that clients come back by themselves.

        Raises Environment when no process can be started.
        """
        self.starts += 1
        another = Environment(f"venue {self.folder.name} is served already")
        with held(self.folder, another) as hold:  # by the child from its first moment on: `run_venue.is_served`
            self._child = ChildProcess("venue", self._plan, self.log, self._clock, self._command, inherits=(hold,))
        self._inbox.listen(self.who, self._child)

    def listening(self, endpoints: VenueEndpoints) -> None:
        self.listens = True
        port = int(endpoints.rest_url.rpartition(":")[2])
        self._plan = self._plan.model_copy(update={"port": port})
        self.endpoints = endpoints
        self._shy_until_s = 0.0

    def handled_all(self) -> None:
        """The engine is through with every candle that was closed so far."""
        if self._child:
            self._child.tell({"handled": "all"})

    def statement(self) -> AccountSnapshot | None:
        """What it says of the account; None when it does not answer."""
        answer = self._ask("statement")
        return AccountSnapshot.model_validate(answer, strict=False) if answer is not None else None

    def flatten(self, why: str) -> dict[str, Any] | None:
        """Let the venue itself end every order and the position, and take no more; what it did."""
        self._shy_until_s = 0.0
        found: dict[str, Any] | None = self._ask("flatten", FLATTEN_SECONDS, reason=why[:MOST_CHARACTERS], hold=True)
        return found

    def _ask(self, do: str, seconds: float = ASK_SECONDS, **more: Any) -> Any:
        now_s = self._clock.monotonic_s()
        if now_s < self._shy_until_s:
            return None
        try:
            if self._door is None:
                self._door = ControlClient(self.folder, self._plan.token, seconds=ASK_SECONDS)
            self._door.give(seconds)
            return self._door.ask(do, **more)
        except (LabError, ValueError):
            self._shy_until_s = self._clock.monotonic_s() + SHY_SECONDS
            self._close_door()
            return None

    def ended(self, clean: Callable[[str], str]) -> str:
        """After its end was heard: why, for people."""
        assert self._child
        self.listens = False
        self._inbox.leave(self.who)
        self._child.close()
        self._close_door()
        failure = self._child.failure(clean)
        self._child = None
        return failure.message if failure else "the venue process ended"

    def end(self, clean: Callable[[str], str]) -> VenueProgress | None:
        """Stop it, and wait until it has; how far it came. Nobody else says anything any more. Raises Environment."""
        self.stop()
        came: VenueProgress | None = None
        while self.runs:
            said = self._inbox.take(END_SECONDS)
            if said is None:
                raise Environment("the venue does not end", hint=f"what it printed is in logs/{self.log.name}")
            who, frames = said
            for frame in frames or ():
                if who == self.who and "ended" in frame:
                    came = VenueProgress.model_validate(frame["ended"])
            if said == (self.who, None):
                self.ended(clean)
        return came

    def stop(self) -> None:
        if self._child:
            self._child.stop()

    def kill(self) -> None:
        self.listens = False
        if self._child:
            self._child.kill()

    @property
    def runs(self) -> bool:
        return self._child is not None

    def _close_door(self) -> None:
        if self._door:
            self._door.close()
            self._door = None


def refusal(refused: dict[str, Any]) -> Environment:
    return Environment(refused["message"], hint=refused["hint"])
