"""The venue process: serves one exchange until it is stopped. Started as `python -P -m opslab.children.venue FD`.

Reads a `VenuePlan` from standard input, which stays open as long as control lives; sends messages to descriptor FD.
SIGTERM and SIGINT stop it cleanly; the end of standard input does so too, after the plan's orphan policy.
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

from opslab.children.pipe import MessagePipe
from opslab.datasets.playback import playback
from opslab.errors import Corrupt, LabError
from opslab.killswitch.watcher import SwitchWatch
from opslab.model.market.candle import MINUTE_MS, Candle
from opslab.model.market.instrument import Instrument, instrument_of
from opslab.model.messages.ledger_events import LedgerEvent, Opened, event_fields, parse_event
from opslab.model.messages.venue_messages import VenueEndpoints, VenuePlan
from opslab.model.pipe.messages import (
    AcknowledgeBars,
    Listening,
    VenueEnded,
    VenueLogEntry,
    VenueRefused,
    decode_command,
)
from opslab.model.primitives.ids import DatasetId, RunId
from opslab.model.primitives.instant import NS_PER_MS
from opslab.store.layout import Layout
from opslab.store.venues.ledger import LedgerFile
from opslab.store.venues.venue_files import write_token
from opslab.store.venues.venue_log import VenueLog
from opslab.system import SystemClock
from opslab.venue.account.account import Account
from opslab.venue.event_log import RUN_LOG_EVENTS
from opslab.venue.venue import Venue

_PROGRESS_SECONDS = 0.5
HISTORY_MINUTES = 1_500
"""Minutes before the replay's position that clients can request."""


def main(descriptor: int) -> int:
    """Serve the plan on standard input. Exit code 0 when it was stopped, else that of the error."""
    os.set_inheritable(descriptor, False)
    pipe = MessagePipe(descriptor)
    stream = os.fdopen(os.dup(0), "rb")
    plan = VenuePlan.model_validate_json(stream.readline())
    try:
        with ExitStack() as stack:
            asyncio.run(_serve(plan, stream, pipe, stack))
    except LabError as refused:
        pipe.send(VenueRefused(message=refused.message, hint=refused.hint, exit_code=refused.exit_code))
        pipe.close()
        return refused.exit_code
    pipe.close()
    return 0


async def _serve(plan: VenuePlan, stream: BinaryIO, pipe: MessagePipe, stack: ExitStack) -> None:
    clock = SystemClock()
    instrument = instrument_of(plan.symbol)
    ledger = stack.enter_context(LedgerFile(Path(plan.ledger), clock))
    write_token(Path(plan.ledger), plan.token)  # after the lock: a running venue of this name has its own token
    account = _account(plan, instrument, ledger, clock.now_ns() // NS_PER_MS)
    position = ledger.moment()
    log = VenueLog(Path(plan.ledger), clock)
    stack.callback(log.close)

    def log_event(event: str, fields: dict[str, object]) -> None:
        if log.write(event, fields):
            deliver = pipe.send if event in RUN_LOG_EVENTS else pipe.offer  # a run records each of them
            deliver(VenueLogEntry(event=event, fields=fields))

    venue = Venue(plan, instrument, account, ledger, clock, position, log_event)
    if ledger.torn_bytes:
        log_event("ledger_torn_end_moved", {"bytes": ledger.torn_bytes})
    candles = _apply_history(
        venue, _candles(plan, instrument, position.minute), position.minute, clock.now_ns() // NS_PER_MS
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, venue.stop)
    threading.Thread(target=_read_control, args=(stream, plan, venue, loop), name="parent", daemon=True).start()
    progress = asyncio.ensure_future(_send_progress(venue, pipe))
    try:
        await venue.run(plan.host, Path(plan.ledger), candles, lambda endpoints: _listening(pipe, endpoints))
    finally:
        progress.cancel()
        pipe.send(VenueEnded(progress=venue.progress()))


def _account(plan: VenuePlan, instrument: Instrument, ledger: LedgerFile, now_ms: int) -> Account:
    """The account from its ledger; a new one when the ledger is empty. Raises Corrupt."""

    def history() -> Iterator[LedgerEvent]:
        for transaction in ledger.history():
            try:
                yield from map(parse_event, transaction.events)
            except ValueError:
                raise Corrupt(f"the venue's ledger, line {transaction.number}: invalid event") from None

    events = history()
    first = next(events, None)
    if first is None:
        account = plan.account
        opened = Opened(
            asset=plan.symbol["marginAsset"],
            symbol=instrument.symbol,
            balance=account.balance,
            leverage=account.leverage,
            maker_fee=account.maker_fee,
            taker_fee=account.taker_fee,
            dataset=plan.fingerprint,
            time_ms=now_ms,
        )
        ledger.append([event_fields(opened)], ledger.moment())
        return Account.from_opened(opened)
    return Account.replay(_chained(first, events))


def _chained(first: LedgerEvent, others: Iterator[LedgerEvent]) -> Iterator[LedgerEvent]:
    yield first
    yield from others


def _candles(plan: VenuePlan, instrument: Instrument, minute: int) -> Iterator[tuple[int, Candle]]:
    """(row, candle), from HISTORY_MINUTES before `minute` on."""
    return playback(
        Layout(Path(plan.home)),
        DatasetId(plan.dataset),
        instrument,
        first_row=max(0, minute - HISTORY_MINUTES),
        start_ms=plan.start_ms,
        end_ms=plan.end_ms,
    )


def _apply_history(venue: Venue, rows: Iterator[tuple[int, Candle]], minute: int, now_ms: int) -> Iterator[Candle]:
    """Apply the minutes before `minute` and open the market at that one; the candles from there on."""
    last: Candle | None = None
    for row, candle in rows:
        last = candle
        if row >= minute:
            venue.market.start_at_open(candle, now_ms)
            return _from(candle, rows)
        venue.market.apply_past_minute(candle, row)
    if last is not None:  # the dataset has been replayed to its end
        venue.market.start_at_open(_flat_after(last), now_ms)
    return iter(())


def _flat_after(candle: Candle) -> Candle:
    """A flat candle at the close of this one, a minute later."""
    close = candle.close
    return Candle(candle.open_ms + MINUTE_MS, close, close, close, close, 0)


def _from(first: Candle, rows: Iterator[tuple[int, Candle]]) -> Iterator[Candle]:
    yield first
    for _, candle in rows:
        yield candle


def _listening(pipe: MessagePipe, endpoints: VenueEndpoints) -> None:
    pipe.send(Listening(endpoints=endpoints))


async def _send_progress(venue: Venue, pipe: MessagePipe) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        pipe.offer(venue.progress())


def _read_control(stream: BinaryIO, plan: VenuePlan, venue: Venue, loop: asyncio.AbstractEventLoop) -> None:
    """Read control's messages until its process ends; an incomplete last line is ignored.

    From then on the venue of a run watches the kill switch itself: no other process is left to stop a hanging engine.
    """
    with suppress(RuntimeError):  # the venue has ended meanwhile
        for line in stream:
            with suppress(ValueError):
                command = decode_command(line)
                if isinstance(command, AcknowledgeBars):
                    loop.call_soon_threadsafe(venue.bars_done, command.minutes)
        loop.call_soon_threadsafe(venue.control_lost)
        if plan.on_orphan != "end":
            SwitchWatch(Layout(Path(plan.home)), RunId(plan.name), lambda _: _kill_switch_active(venue, loop)).start()


def _kill_switch_active(venue: Venue, loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(venue.kill_switch_active)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
