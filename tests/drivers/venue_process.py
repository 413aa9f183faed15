"""A venue process started directly: it can be killed and restarted with the same port, key and ledger."""

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
from opslab.model.messages.ledger_events import LedgerEvent, parse_event
from opslab.model.messages.venue_messages import (
    Start,
    VenueAccount,
    VenueEndpoints,
    VenueKey,
    VenueLimits,
    VenuePlan,
    VenueProgress,
)
from opslab.model.pipe.messages import Listening, VenueEnded, VenueLogEntry, VenueRefused
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
START_SECONDS = 200.0
_PORTS = range(20_000, 32_000)
"""Below the ephemeral range: a client that connects while nothing listens must not be assigned the port itself."""


def free_port() -> int:
    """A port without a listener, below the ephemeral range."""
    generator = random.Random(f"{os.getpid()} {time.monotonic_ns()}")
    while True:
        port = generator.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class VenueProcess:
    """`start`, then `stop` or `kill`, any number of times; `with` leaves no process running."""

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
        """home: with the prepared sample dataset. folder: of the ledger and the log."""
        self.ledger = folder / "ledger"
        self.log: list[dict[str, Any]] = []
        """Its messages, over all starts."""
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
        """Returns when clients can connect."""
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
        """kill -9; returns when the process has ended."""
        self._end(lambda child: child.kill())

    def stop(self) -> None:
        """SIGTERM; returns when the process has ended. Fails when the end was not clean."""
        child = self._end(lambda child: child.stop())
        failure = child.failure(str)
        assert failure is None, failure

    def _end(self, terminate: Any) -> ChildProcess:
        child, listener = self._child, self._listener
        assert child is not None
        assert listener is not None
        terminate(child)
        listener.join()
        child.close()
        self._child = None
        return child

    def _listen(self, child: ChildProcess) -> None:
        for messages in child.messages():
            for message in messages:
                match message:
                    case Listening(endpoints=endpoints):
                        self._endpoints = endpoints
                    case VenueProgress():
                        self.progress = message
                    case VenueEnded(progress=progress):
                        self.progress = progress
                    case VenueLogEntry(event=event, fields=fields):
                        self.log.append({"log": {"event": event, **fields}})
                    case VenueRefused():
                        self.log.append({"refused": message.model_dump()})

    # Requests, and the ledger.

    def get(self, path: str, *, signed: bool = True, **params: Any) -> Any:
        """The answer to a GET request."""
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
        with opener.open(request, timeout=100) as answer:
            return json.load(answer)

    def transactions(self) -> list[list[LedgerEvent]]:
        """The ledger, read while the venue writes it or after its end."""
        return [[parse_event(event) for event in entry.events] for entry in read_ledger(self.ledger)]

    def events(self) -> list[LedgerEvent]:
        return [event for events in self.transactions() for event in events]

    def ledger_state(self) -> LedgerState:
        return ledger_state(self.events())

    def audit(self) -> Audit:
        return audit(self.transactions())

    def candles(self) -> Iterator[Candle]:
        """The dataset's candles, in integers: prices in cents, sizes in thousandths."""
        for _, candle in playback(self._layout, DatasetId(SAMPLE), INSTRUMENT):
            yield candle
