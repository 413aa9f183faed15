"""A venue child started directly: killed at will, and served again at the same place with the same key and ledger."""

import hashlib
import hmac
import json
import os
import random
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from opslab.datasets.dataset_records import read_record
from opslab.datasets.playback import playback
from opslab.model.market.candle import Candle
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.ledger_events import LedgerEvent, event_of
from opslab.model.messages.venue_messages import (
    Start,
    VenueAccount,
    VenueEndpoints,
    VenueKey,
    VenueLimits,
    VenuePlan,
    VenueProgress,
)
from opslab.model.primitives.ids import DatasetId
from opslab.resources import exchange_info_symbol
from opslab.runs.processes.child_process import VENUE_COMMAND, ChildProcess
from opslab.store.layout import Layout
from opslab.store.venues.ledger import read_ledger
from opslab.system import SystemClock
from opslab.venue.account.audit import Audit, audit
from tests.drivers.tc import wait_until
from tests.oracles.ledger_state import LedgerState, ledger_state

SAMPLE = "btcusdt-sample"
SYMBOL = exchange_info_symbol("BTCUSDT")
INSTRUMENT = instrument_of(SYMBOL)
KEY = VenueKey(api_key="k" * 64, api_secret="s" * 64)
START_SECONDS = 30.0
_PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to clients: who knocks while nobody listens must not be given the port itself."""


def free_port() -> int:
    """One that nobody listens on, and nobody is given by chance."""
    dice = random.Random(f"{os.getpid()} {time.monotonic_ns()}")
    while True:
        port = dice.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class VenueProcess:
    """`start`, then `stop` or `kill`, as often as wanted; `with` leaves no process behind."""

    def __init__(
        self,
        home: Path,
        folder: Path,
        *,
        speed: float | None = 120.0,
        ticks: int = 30,
        start: Start = "kline",
        max_bars: int | None = None,
    ) -> None:
        """home: has the sample prepared. folder: gets the ledger and the log."""
        self.ledger = folder / "ledger"
        self.log: list[dict[str, Any]] = []
        """What it had to say, of all its lives."""
        self.progress: VenueProgress | None = None
        self.starts = 0
        self._folder = folder
        self._layout = Layout(home)
        self._plan = VenuePlan(
            name="contract",
            key=KEY,
            host="127.0.0.1",
            port=free_port(),
            token="contract",
            symbol=SYMBOL,
            dataset=SAMPLE,
            fingerprint=read_record(self._layout, DatasetId(SAMPLE)).fingerprint,
            home=str(home),
            ledger=str(self.ledger),
            start_ms=None,
            end_ms=None,
            max_bars=max_bars,
            speed=speed,
            pace="drained" if speed is None else "clock",
            start=start,
            ticks_per_minute=ticks,
            latency_ms=0,
            account=VenueAccount(
                balance=Decimal(100_000), leverage=10, maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005")
            ),
            limits=VenueLimits(),
        )
        self._child: ChildProcess | None = None
        self._listener: threading.Thread | None = None
        self._endpoints: VenueEndpoints | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child:
            self.kill()

    @property
    def port(self) -> int:
        return self._plan.port

    @property
    def plan(self) -> VenuePlan:
        return self._plan

    @property
    def is_listening(self) -> bool:
        return self._endpoints is not None

    @property
    def endpoints(self) -> VenueEndpoints:
        assert self._endpoints is not None
        return self._endpoints

    def start(self) -> VenueEndpoints:
        """Comes back when clients may connect."""
        assert self._child is None
        self._folder.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        self._endpoints = None
        log = self._folder / f"venue-{self.starts}.log"
        child = self._child = ChildProcess("venue", self._plan, log, SystemClock(), VENUE_COMMAND)
        listener = self._listener = threading.Thread(target=self._listen, args=(child,), daemon=True)
        listener.start()
        wait_until(lambda: self.is_listening or not listener.is_alive(), "the venue to listen", START_SECONDS)
        if not self.is_listening:
            self._child = None
            child.close()
            raise AssertionError(f"the venue did not start: {self.log[-1:]}, {log.read_text(errors='replace')}")
        return self.endpoints

    def kill(self) -> None:
        """kill -9; comes back when it is gone."""
        self._end(lambda child: child.kill())

    def stop(self) -> None:
        """SIGTERM; comes back when it is gone. Fails when that was not a clean end."""
        child = self._end(lambda child: child.stop())
        failure = child.failure(str)
        assert failure is None, failure

    def _end(self, how: Any) -> ChildProcess:
        child, listener = self._child, self._listener
        assert child is not None
        assert listener is not None
        how(child)
        listener.join()
        child.close()
        self._child = None
        return child

    def _listen(self, child: ChildProcess) -> None:
        for frames in child.messages():
            for frame in frames:
                if "listening" in frame:
                    self._endpoints = VenueEndpoints.model_validate(frame["listening"])
                elif "progress" in frame or "ended" in frame:
                    self.progress = VenueProgress.model_validate(next(iter(frame.values())))
                else:
                    self.log.append(frame)

    # What it serves, and what it keeps.

    def ask(self, path: str, *, signed: bool = True, **params: Any) -> Any:
        """GET, as any client would."""
        if signed:
            params["timestamp"] = time.time_ns() // 1_000_000
            text = urlencode(params)
            digest = hmac.new(KEY.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
            text += f"&signature={digest}"
        else:
            text = urlencode(params)
        request = urllib.request.Request(f"{self.endpoints.rest_url}{path}?{text}")
        request.add_header("X-MBX-APIKEY", KEY.api_key)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return json.load(answer)

    def transactions(self) -> list[list[LedgerEvent]]:
        """The ledger, read while it grows or behind its end."""
        return [[event_of(event) for event in found.events] for found in read_ledger(self.ledger)]

    def events(self) -> list[LedgerEvent]:
        return [event for events in self.transactions() for event in events]

    def standing(self) -> LedgerState:
        return ledger_state(self.events())

    def audit(self) -> Audit:
        return audit(self.transactions())

    def candles(self) -> Iterator[Candle]:
        """Those of the dataset, in ints: prices in cents, sizes in thousandths."""
        for _, candle in playback(self._layout, DatasetId(SAMPLE), INSTRUMENT):
            yield candle
