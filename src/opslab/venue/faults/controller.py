"""Start and stop faults. A fault ends on request, with its owner, after its time, or with the venue."""

import asyncio
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from opslab.errors import NotFound, Usage
from opslab.model.primitives.ids import nearest, shown
from opslab.venue.event_log import EventLogger
from opslab.venue.faults.fault import Fault, FaultTarget, MessageTerms
from opslab.venue.faults.registry import FAULTS
from opslab.venue.transport.market_streams import is_served

MAX_FAULT_SECONDS = 3_600.0
MAX_ACTIVE_FAULTS = 100


@dataclass(slots=True)
class ActiveFault:
    number: int
    name: str
    terms: dict[str, Any]
    owner: object | None
    """The fault ends when this is given to `stop_owned_by`; None: it has no owner."""
    until: float | None
    """Loop time at which it ends by itself; None for an immediate fault."""
    block: AsyncExitStack
    timer: asyncio.TimerHandle | None = None

    def remaining_seconds(self) -> float | None:
        return None if self.until is None else max(0.0, self.until - asyncio.get_running_loop().time())


class FaultController:
    """The active faults of one venue. Each start and end is logged; the event log adds the time."""

    def __init__(self, target: FaultTarget, log_event: EventLogger) -> None:
        self._target = target
        self._log_event = log_event
        self._active: dict[int, ActiveFault] = {}
        self._last_number = 0
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self, name: str, terms: Mapping[str, Any], seconds: float, owner: object | None) -> ActiveFault:
        """Start a fault. It ends by `stop`, with its owner, or after `seconds`. Raises Usage."""
        fault = find_fault(name)
        if not 0 < seconds <= MAX_FAULT_SECONDS:
            raise Usage(f"a fault lasts more than 0 and at most {MAX_FAULT_SECONDS:.0f} s, not {seconds}")
        if len(self._active) >= MAX_ACTIVE_FAULTS:
            raise Usage(f"{MAX_ACTIVE_FAULTS} faults are active already", hint="stop some of them")
        valid_terms = validate_terms(fault, terms)
        self._check_stream(name, valid_terms)
        self._last_number += 1
        number = self._last_number
        block = AsyncExitStack()
        self._log_event("fault_started", {"fault": name, "number": number, "terms": valid_terms.model_dump()})
        try:
            await block.enter_async_context(fault.inject(self._target, valid_terms))
        except BaseException:
            self._log_event("fault_ended", {"fault": name, "number": number, "reason": "failed_to_start"})
            raise
        loop = asyncio.get_running_loop()
        until = None if fault.is_immediate else loop.time() + seconds
        active = self._active[number] = ActiveFault(number, name, valid_terms.model_dump(), owner, until, block)
        if until is None:
            await self._end(active, "immediate")
        else:
            active.timer = loop.call_at(until, self._expire, active)
        return active

    async def stop(self, number: int) -> ActiveFault:
        """Raises NotFound."""
        active = self._active.get(number)
        if active is None:
            raise NotFound(f"fault {number} is not active")
        await self._end(active, "stopped")
        return active

    async def stop_all(self, reason: str) -> int:
        """Stop every fault; the number of faults stopped."""
        faults = list(self._active.values())
        for active in reversed(faults):
            await self._end(active, reason)
        return len(faults)

    async def stop_owned_by(self, owner: object) -> None:
        """Stop the faults of a client that has disconnected."""
        for active in [active for active in self._active.values() if active.owner is owner]:
            await self._end(active, "client_disconnected")

    def active_faults(self) -> list[ActiveFault]:
        return list(self._active.values())

    def _check_stream(self, name: str, terms: Any) -> None:
        """Raises Usage for a stream that is not served: the fault would never have an effect."""
        stream = terms.stream if isinstance(terms, MessageTerms) else None
        if stream is not None and not is_served(stream, self._target.exchange.instrument.symbol):
            raise Usage(f"fault {name}: stream {shown(stream)} is not served", hint="example: btcusdt@kline_1m")

    def _expire(self, active: ActiveFault) -> None:
        task = asyncio.ensure_future(self._end(active, "expired"))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, active: ActiveFault, reason: str) -> None:
        if self._active.pop(active.number, None) is None:
            return
        if active.timer:
            active.timer.cancel()
        try:
            await active.block.aclose()
        except Exception as bug:  # noqa: BLE001  (the other faults must end nevertheless)
            self._log_event("bug", {"traceback": "".join(traceback.format_exception(bug))})
        self._log_event("fault_ended", {"fault": active.name, "number": active.number, "reason": reason})


def find_fault(name: str) -> Fault[Any]:
    """Raises Usage, with the nearest names, for an unknown fault."""
    fault = FAULTS.get(name)
    if fault is None:
        close = nearest(name, FAULTS)
        guess = f"; did you mean {', '.join(close)}?" if close else ""
        raise Usage(f"unknown fault {shown(name)}{guess}", hint=f"known: {', '.join(FAULTS)}")
    return fault


def parse_terms(name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """A fault's terms, each given as text. Raises Usage."""
    fault = find_fault(name)
    values: dict[str, Any] = dict(texts)
    for term, text in texts.items():
        try:
            f"{term}{text}".encode()
        except UnicodeEncodeError:
            raise Usage(f"fault {name}: {shown(term)}: not UTF-8") from None
    try:
        fault.terms.model_validate(values)
    except ValidationError as error:
        for location in {error["loc"][0] for error in error.errors()} & values.keys():
            values[str(location)] = _parse_value(values[str(location)])
    return dict(validate_terms(fault, values).model_dump())


def _parse_value(text: str) -> Any:
    """The JSON value of a term that is not of text type."""
    try:
        return from_json(text)
    except ValueError:
        return text


def validate_terms(fault: Fault[Any], values: Mapping[str, Any]) -> Any:
    """The fault's terms, with defaults filled in. Raises Usage."""
    try:
        return fault.terms.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        term = ".".join(str(part) for part in first["loc"]) or "terms"
        names = ", ".join(fault.terms.model_fields) or "none"
        if first["type"] == "extra_forbidden":
            raise Usage(f"fault {fault.name} has no term {shown(term)}", hint=f"its terms: {names}") from None
        raise Usage(f"fault {fault.name}: {term}: {first['msg']}", hint=f"its terms: {names}") from None
