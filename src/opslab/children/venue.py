"""The venue child: one exchange, until it is told to stop. Started as `python -P -m opslab.children.venue FD`.

Reads a `VenuePlan` from standard input, which stays open as long as control lives; sends frames to descriptor FD.
SIGTERM and SIGINT stop it cleanly; so does the end of standard input, after what the plan says of control's death.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from pydantic_core import from_json

from opslab.children.pipe import MessagePipe
from opslab.datasets.playback import playback
from opslab.errors import Corrupt, LabError
from opslab.killswitch.watcher import SwitchWatch
from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.model.market.instrument import Instrument, instrument_of
from opslab.model.messages.ledger_events import LedgerEvent, Opened, event_of, written
from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan
from opslab.model.primitives.ids import DatasetId, RunId
from opslab.model.primitives.instant import NS_PER_MS
from opslab.store.layout import Layout
from opslab.store.venues.ledger import LedgerFile
from opslab.store.venues.venue_files import write_token
from opslab.store.venues.venue_log import VenueLog
from opslab.system import SystemClock
from opslab.venue.account.account import Account
from opslab.venue.venue import Venue

_PROGRESS_SECONDS = 0.5
REMEMBERED = 1_500
"""Minutes before the one that the replay goes on with which clients can ask for."""


def main(descriptor: int) -> int:
    """Serve the plan on standard input. Exit 0 when it was stopped, 5 when it could not serve."""
    os.set_inheritable(descriptor, False)
    frames = MessagePipe(descriptor)
    stream = os.fdopen(os.dup(0), "rb")
    plan = VenuePlan.model_validate_json(stream.readline())
    try:
        with ExitStack() as stack:
            asyncio.run(_serve(plan, stream, frames, stack))
    except LabError as refused:
        frames.send({"refused": {"message": refused.message, "hint": refused.hint, "exit_code": refused.exit_code}})
        frames.close()
        return refused.exit_code
    frames.close()
    return 0


async def _serve(plan: VenuePlan, stream: BinaryIO, frames: MessagePipe, stack: ExitStack) -> None:
    clock = SystemClock()
    instrument = instrument_of(plan.symbol)
    ledger = stack.enter_context(LedgerFile(Path(plan.ledger), clock))
    write_token(Path(plan.ledger), plan.token)  # only now: another venue of the name may be served with its own
    account = _account(plan, instrument, ledger, clock.now_ns() // NS_PER_MS)
    begin = ledger.moment()
    log = VenueLog(Path(plan.ledger), clock)
    stack.callback(log.close)

    def log_event(what: str, more: dict[str, object]) -> None:
        if log.write(what, more):
            frames.offer({"log": {"event": what, **more}})

    venue = Venue(plan, instrument, account, ledger, clock, begin, log_event)
    if ledger.torn_bytes:
        log_event("torn end of the ledger kept aside", {"bytes": ledger.torn_bytes})
    candles = _stand_at(venue, _candles(plan, instrument, begin.minute), begin.minute, clock.now_ns() // NS_PER_MS)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, venue.stop)
    threading.Thread(target=_listen_to_parent, args=(stream, plan, venue, loop), name="parent", daemon=True).start()
    telling = asyncio.ensure_future(_tell_progress(venue, frames))
    try:
        await venue.run(plan.host, Path(plan.ledger), candles, lambda endpoints: _listening(frames, endpoints))
    finally:
        telling.cancel()
        frames.send({"ended": venue.progress().model_dump()})


def _account(plan: VenuePlan, instrument: Instrument, ledger: LedgerFile, now_ms: int) -> Account:
    """As its ledger has it; opened now when that is empty. Raises Corrupt."""

    def history() -> Iterator[LedgerEvent]:
        for transaction in ledger.history():
            try:
                yield from map(event_of, transaction.events)
            except ValueError:
                raise Corrupt(f"the venue's ledger, line {transaction.number}: holds what is no event") from None

    events = history()
    first = next(events, None)
    if first is None:
        asked = plan.account
        opened = Opened(
            asset=plan.symbol["marginAsset"],
            symbol=instrument.symbol,
            balance=asked.balance,
            leverage=asked.leverage,
            maker_fee=asked.maker_fee,
            taker_fee=asked.taker_fee,
            dataset=plan.fingerprint,
            time_ms=now_ms,
        )
        ledger.append([written(opened)], ledger.moment())
        return Account.from_opened(opened)
    return Account.replay(_chained(first, events))


def _chained(first: LedgerEvent, others: Iterator[LedgerEvent]) -> Iterator[LedgerEvent]:
    yield first
    yield from others


def _candles(plan: VenuePlan, instrument: Instrument, minute: int) -> Iterator[tuple[int, Candle]]:
    """(row, candle), from so far before `minute` that clients find a history."""
    return playback(
        Layout(Path(plan.home)),
        DatasetId(plan.dataset),
        instrument,
        first_row=max(0, minute - REMEMBERED),
        start_ms=plan.start_ms,
        end_ms=plan.end_ms,
    )


def _stand_at(venue: Venue, rows: Iterator[tuple[int, Candle]], minute: int, now_ms: int) -> Iterator[Candle]:
    """Let the minutes before have happened, and stand at the open of the one to go on with."""
    found: tuple[int, Candle] | None = None
    for found in rows:
        row, candle = found
        if row >= minute:
            venue.market.start_at_open(candle, now_ms)
            return _from(candle, rows)
        venue.market.apply_past_minute(candle, row)
    if found is not None:  # the dataset has been played to its end
        venue.market.start_at_open(_flat_behind(found[1]), now_ms)
    return iter(())


def _flat_behind(candle: Candle) -> Candle:
    """Where the market stands once the candle has closed."""
    close = candle.close
    return Candle(candle.open_ms + MINUTE_MS, close, close, close, close, 0)


def _from(first: Candle, rows: Iterator[tuple[int, Candle]]) -> Iterator[Candle]:
    yield first
    for _, candle in rows:
        yield candle


def _listening(frames: MessagePipe, endpoints: VenueEndpoints) -> None:
    frames.send({"listening": endpoints.model_dump()})


async def _tell_progress(venue: Venue, frames: MessagePipe) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        frames.offer({"progress": venue.progress().model_dump()})


def _listen_to_parent(stream: BinaryIO, plan: VenuePlan, venue: Venue, loop: asyncio.AbstractEventLoop) -> None:
    """Words of control, until it is gone; what it was about to say when it died is no word.

    From then on the venue of a run looks at its kill switch itself: an engine that hangs has nobody else left.
    """
    with suppress(RuntimeError):  # the venue has ended meanwhile
        for line in stream:
            with suppress(ValueError, KeyError, TypeError):
                told = from_json(line)["handled"]
                loop.call_soon_threadsafe(venue.handled, None if told == "all" else int(told))
        loop.call_soon_threadsafe(venue.orphaned)
        if plan.on_orphan != "end":
            SwitchWatch(Layout(Path(plan.home)), RunId(plan.name), lambda _: _halted(venue, loop)).start()


def _halted(venue: Venue, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(venue.halted)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
