"""Faults that are held: begun, ended, and ended by themselves when nobody is left to do it."""

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
from opslab.venue.faults.fault import Fault, MessageTerms, FaultTarget
from opslab.venue.faults.registry import FAULTS
from opslab.venue.transport.market_streams import is_served

MAX_SECONDS = 3_600.0
MAX_HELD = 100


@dataclass(slots=True)
class ActiveFault:
    """A fault that is there."""

    number: int
    name: str
    terms: dict[str, Any]
    owner: object | None
    """With whom it ends."""
    until: float | None
    """When it ends by itself, by the loop's clock; None for what is over at once."""
    block: AsyncExitStack
    timer: asyncio.TimerHandle | None = None

    def remaining_seconds(self) -> float | None:
        return None if self.until is None else max(0.0, self.until - asyncio.get_running_loop().time())


class FaultController:
    """All that are held in one venue. Each begin and end is said, stamped by who writes it down."""

    def __init__(self, target: FaultTarget, log_event: EventLogger) -> None:
        self._target = target
        self._log_event = log_event
        self._held: dict[int, ActiveFault] = {}
        self._last = 0
        self._ending: set[asyncio.Task[None]] = set()

    async def start(self, name: str, terms: Mapping[str, Any], seconds: float, owner: object | None) -> ActiveFault:
        """Begin one. It ends by `stop`, with its owner, or after `seconds`. Raises Usage."""
        fault = known(name)
        if not 0 < seconds <= MAX_SECONDS:
            raise Usage(f"a fault lasts above 0 and at most {MAX_SECONDS:.0f} s, not {seconds}")
        if len(self._held) >= MAX_HELD:
            raise Usage(f"{MAX_HELD} faults are held already", hint="stop some of them")
        found = validate_terms(fault, terms)
        self._check_stream(name, found)
        self._last += 1
        number = self._last
        block = AsyncExitStack()
        self._log_event("fault begun", {"fault": name, "number": number, "terms": found.model_dump()})
        try:
            await block.enter_async_context(fault.hold(self._target, found))
        except BaseException:
            self._log_event("fault ended", {"fault": name, "number": number, "reason": "it could not begin"})
            raise
        loop = asyncio.get_running_loop()
        until = None if fault.is_immediate else loop.time() + seconds
        held = self._held[number] = ActiveFault(number, name, found.model_dump(), owner, until, block)
        if until is None:
            await self._end(held, "it is over at once")
        else:
            held.timer = loop.call_at(until, self._expire, held)
        return held

    async def stop(self, number: int) -> ActiveFault:
        """Raises NotFound."""
        held = self._held.get(number)
        if held is None:
            raise NotFound(f"fault {number} is not held")
        await self._end(held, "stopped")
        return held

    async def stop_all(self, why: str) -> int:
        """How many there were."""
        found = list(self._held.values())
        for held in reversed(found):
            await self._end(held, why)
        return len(found)

    async def leave(self, owner: object) -> None:
        """Who asked is gone, and so are the faults that were to last as long."""
        for held in [held for held in self._held.values() if held.owner is owner]:
            await self._end(held, "who asked is gone")

    def held(self) -> list[ActiveFault]:
        return list(self._held.values())

    def _check_stream(self, name: str, terms: Any) -> None:
        """A stream that is not served would be waited for in vain. Raises Usage."""
        stream = terms.stream if isinstance(terms, MessageTerms) else None
        if stream is not None and not is_served(stream, self._target.exchange.instrument.symbol):
            raise Usage(f"fault {name}: stream {shown(stream)} is not served", hint="such as btcusdt@kline_1m")

    def _expire(self, held: ActiveFault) -> None:
        task = asyncio.ensure_future(self._end(held, "its time is over"))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end(self, held: ActiveFault, why: str) -> None:
        if self._held.pop(held.number, None) is None:
            return
        if held.timer:
            held.timer.cancel()
        try:
            await held.block.aclose()
        except Exception as bug:  # noqa: BLE001  (the others must end all the same)
            self._log_event("bug", {"traceback": "".join(traceback.format_exception(bug))})
        self._log_event("fault ended", {"fault": held.name, "number": held.number, "reason": why})


def known(name: str) -> Fault[Any]:
    """Raises Usage with the nearest names."""
    found = FAULTS.get(name)
    if found is None:
        close = nearest(name, FAULTS)
        guess = f"; did you mean {', '.join(close)}?" if close else ""
        raise Usage(f"fault {shown(name)} is not known{guess}", hint=f"known: {', '.join(FAULTS)}")
    return found


def parse_terms(name: str, texts: Mapping[str, str]) -> dict[str, Any]:
    """A fault's terms, each given as text. Raises Usage."""
    fault = known(name)
    given: dict[str, Any] = dict(texts)
    for term, text in texts.items():
        try:
            f"{term}{text}".encode()
        except UnicodeEncodeError:
            raise Usage(f"fault {name}: {shown(term)}: not UTF-8") from None
    try:
        fault.terms.model_validate(given)
    except ValidationError as error:
        for place in {error["loc"][0] for error in error.errors()} & given.keys():
            given[str(place)] = _value(given[str(place)])
    return dict(validate_terms(fault, given).model_dump())


def _value(text: str) -> Any:
    """What is no text by its type."""
    try:
        return from_json(text)
    except ValueError:
        return text


def validate_terms(fault: Fault[Any], given: Mapping[str, Any]) -> Any:
    """Raises Usage."""
    try:
        return fault.terms.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "terms"
        names = ", ".join(fault.terms.model_fields) or "none"
        if first["type"] == "extra_forbidden":
            raise Usage(f"fault {fault.name} has no term {shown(place)}", hint=f"its terms: {names}") from None
        raise Usage(f"fault {fault.name}: {place}: {first['msg']}", hint=f"its terms: {names}") from None
