"""Run a live node with NautilusTrader's Binance adapters on the loopback venue."""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceExecutionClientConfig,
    BinanceExecutionClientFactory,
    BinanceProductType,
)
from nautilus_trader.common import Cache, Environment
from nautilus_trader.live import (
    LiveExecutionEngineConfig,
    LiveNode,
    LiveNodeBuilder,
    LiveNodeConfig,
    LiveNodeHandle,
    LiveRiskEngineConfig,
    QueueMonitorConfig,
)
from nautilus_trader.model import AccountId, InstrumentId, OmsType, TraderId
from nautilus_trader.trading import Strategy

from opslab.errors import Usage
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import LivePlan
from opslab.model.messages.paper_messages import Flattened
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.model.run.metadata import Failure
from opslab.nautilus.engine_log import logger_config
from opslab.nautilus.live.monitor import ControlCommands, Monitor
from opslab.nautilus.live.monitor_actor import MonitorActor
from opslab.nautilus.live.node_state import NodeState
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.live.shutdown import ACCOUNT_UNCHANGED, ShutdownSequence
from opslab.nautilus.live.venue_rest_client import VenueRestClient, VenueUnreachable, flatten_once
from opslab.nautilus.outcome import EngineOutcome, finish, report_start
from opslab.nautilus.strategy.guarded import Guarded, replacement_failure
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder

ACCOUNT_ID = AccountId("BINANCE-001")
CONNECT_SECONDS = 20
DISCONNECT_SECONDS = 3
STARTUP_DELAY_SECONDS = 0.5
"""Delay of the engine's first check of its orders and positions; its own default is 10 s."""
IN_FLIGHT_CHECK_INTERVAL_MS = 500
IN_FLIGHT_THRESHOLD_MS = 1_000
IN_FLIGHT_RETRIES = 20
"""Interval, age and number of the engine's queries for an order that was not acknowledged, before the engine takes it
for lost. With the engine's own figures (2 s, 5 s, 5) it never queries while a strategy keeps cancelling the order."""
OPEN_CHECK_INTERVAL_SECONDS = 2.0
OPEN_CHECK_RETRIES = 2
"""Interval of the comparison of the engine's open orders with the venue's, and how often an order may be missing there
before the engine queries its status. Without it, fills that occur while the user stream is down are never known
(measured)."""
MAX_MODIFIES_PER_SECOND = 100
"""The engine's own default, which a backtest has too."""
POLL_SECONDS = 0.02
UNCONNECTED_STOP_SECONDS = 2.0
"""Time for a node that has not started to stop: between two attempts to connect it does not check."""
REST_FLATTEN_ROUNDS = 4
REST_FLATTEN_ROUND_SECONDS = 0.25
_QUEUES = QueueMonitorConfig(
    queue_depth_trigger=1_000,
    queue_depth_clear=100,
    mean_dispatch_ns_trigger=100_000_000,
    mean_dispatch_ns_clear=10_000_000,
)
# NautilusTrader's own texts: it gives no code for these errors.
_NOT_DISCONNECTED = ("Failed to disconnect", "disconnect timeout")
"""Its clients did not disconnect, or not in time: the venue did so before, or the machine is busy."""
_NOT_CONNECTED = "readiness timeout while waiting for engine connections"
"""Its clients did not connect in time."""


class LiveRun:
    """One run of a live node: until its last bar is processed, a stop is requested, or a failure occurs.

    Has neither the node nor the strategy as an attribute: only the engine's thread may release them, and the thread
    that gives up an unconnected node has this object too.
    """

    def __init__(
        self,
        plan: LivePlan,
        recorder: LiveStrategyRecorder,
        commands: ControlCommands,
        rest_flattener: RestFlattener,
        memory_bytes: Callable[[], int],
    ) -> None:
        """rest_flattener: started by the thread that halts the run. memory_bytes: resident memory of this process.

        Raises: Usage when the venue is not on this machine.
        """
        self._plan, self._recorder, self._commands = plan, recorder, commands
        self._rest_flattener, self._memory_bytes = rest_flattener, memory_bytes
        self._instrument = instrument_of(plan.symbol)
        self._client = VenueRestClient(plan.endpoints, self._instrument.symbol, recorder.clock)
        self._monitor: Monitor | None = None
        """None: the node has not connected yet."""
        self._ended = threading.Event()
        self._end_lock = threading.Lock()
        """Acquired once, by the thread that reports the end."""
        self._started_at = 0.0

    def run(self, strategy: Guarded, give_up: Callable[[EngineOutcome], None]) -> EngineOutcome:
        """Run the node. A failure is in `recorder.failure`.

        give_up: called from another thread when a node that never connected does not stop; must not return.
        Raises: Usage when an endpoint of the venue is not on this machine.
        """
        recorder = self._recorder
        node = _build_node(self._plan)
        handle = node.handle()
        node.add_strategy(strategy)
        instrument_id = InstrumentId.from_str(self._instrument.instrument_id)
        recorder.external_orders.are_claimed = _claim_external_orders(strategy, instrument_id)
        make_monitor = partial(self._make_monitor, strategy, handle)
        node.add_actor(MonitorActor.build(recorder, make_monitor, handle.stop))
        report_start(self._plan, recorder)
        self._started_at = time.perf_counter()
        threading.Thread(
            target=self._give_up_unconnected, args=(handle, give_up), name="unconnected", daemon=True
        ).start()
        self._run_node(node)
        self._ended.set()
        self._end_lock.acquire()  # never succeeds when the other thread gives up this process
        seconds = time.perf_counter() - self._started_at
        if not recorder.stop_requested:
            _record_failure(recorder, Failure(kind="engine", message="the node stopped before the end of the run"))
        replacement = replacement_failure(strategy)
        if replacement is not None:
            _record_failure(recorder, replacement)
        self._settle_account()
        has_last_bar = self._monitor is not None and self._monitor.has_last_bar
        return finish(recorder, early=not has_last_bar, seconds=seconds)

    def _make_monitor(self, strategy: Guarded, handle: LiveNodeHandle, cache: Cache) -> Monitor:
        state = NodeState(cache, self._instrument)
        shutdown = ShutdownSequence(
            plan=self._plan,
            instrument=self._instrument,
            strategy=strategy,
            recorder=self._recorder,
            client=self._client,
            cache=cache,
            state=state,
            rest_flattener=self._rest_flattener,
            stop_node=handle.stop,
        )
        query_venue = partial(_query_account_and_orders, strategy, state)
        self._monitor = Monitor(
            self._plan, self._recorder, self._commands, state, shutdown, query_venue, self._memory_bytes
        )
        return self._monitor

    def _run_node(self, node: LiveNode) -> None:
        """Returns when the node has ended."""
        try:
            node.run()
        except Exception as error:  # noqa: BLE001  (the engine raises plain RuntimeErrors, also for exceptions of on_start)
            is_finished = self._monitor is not None and self._monitor.is_finished
            if is_finished and any(text in str(error) for text in _NOT_DISCONNECTED):
                sys.stderr.write(f"after the end of the run: {error}\n")  # the log of the engine
                return
            message = str(error)
            if _NOT_CONNECTED in message:
                message = f"the node could not connect within {CONNECT_SECONDS} s"
            _record_failure(self._recorder, Failure(kind="engine", message=self._recorder.redact(message)))

    def _give_up_unconnected(self, handle: LiveNodeHandle, give_up: Callable[[EngineOutcome], None]) -> None:
        if self._must_give_up(handle) and self._end_lock.acquire(blocking=False):
            self._settle_account()
            give_up(finish(self._recorder, early=True, seconds=time.perf_counter() - self._started_at))

    def _must_give_up(self, handle: LiveNodeHandle) -> bool:
        """Whether the node should stop before it ran, and does not. Only its handle may be used from this thread."""
        while not self._ended.wait(POLL_SECONDS):
            if self._recorder.is_running:
                return False
            if self._recorder.stop_requested:
                handle.stop()
                return not self._ended.wait(UNCONNECTED_STOP_SECONDS)
        return False

    def _settle_account(self) -> None:
        """Apply `on_stop` over REST if the monitor did not: the node never ran, or was stopped by something else.

        In a halt in any case.
        """
        recorder = self._recorder
        recorder.request_stop("node_ended")
        recorder.report_gate()
        if recorder.halted:
            result = self._rest_flattener.finish()
            if not recorder.is_flattened_reported:
                recorder.report_flattened(result)
        elif not recorder.is_flattened_reported:
            result = apply_on_stop(self._plan, self._client)
            engine_attempt = recorder.engine_attempt or ACCOUNT_UNCHANGED
            rounds, seconds = engine_attempt.rounds + result.rounds, engine_attempt.seconds + result.seconds
            recorder.report_flattened(Flattened(flat=result.flat, rounds=rounds, seconds=round(seconds, 6)))


def apply_on_stop(plan: LivePlan, client: VenueRestClient) -> Flattened:
    """Apply `on_stop` over REST, for an engine that does not. From any thread; blocks for some seconds."""
    if plan.on_stop == "leave":
        return ACCOUNT_UNCHANGED
    started_at = time.perf_counter()
    flat, rounds = False, 0
    while not flat and rounds < REST_FLATTEN_ROUNDS:
        if rounds:
            time.sleep(REST_FLATTEN_ROUND_SECONDS)
        rounds += 1
        with suppress(VenueUnreachable):
            flat = flatten_once(client)
    return Flattened(flat=flat, rounds=rounds, seconds=round(time.perf_counter() - started_at, 6))


def _query_account_and_orders(strategy: Guarded, state: NodeState) -> None:
    """Query balances and open orders. The engine does not do so by itself while its strategy keeps cancelling them, and
    keeps orders open for ever whose fills it did not receive (measured)."""
    Strategy.query_account(strategy, ACCOUNT_ID)
    for order in state.open_orders():
        Strategy.query_order(strategy, order)


def _record_failure(recorder: LiveStrategyRecorder, failure: Failure) -> None:
    """Only the first failure is recorded."""
    if recorder.failure is None:
        recorder.failure = failure
        recorder.stop_reason = recorder.stop_reason or "failure"


def _claim_external_orders(strategy: Guarded, instrument_id: InstrumentId) -> bool:
    """Give the strategy the open orders and the position of an earlier engine, unless its config claims some itself.

    Returns whether it does.
    """
    if getattr(strategy.config, "external_order_instrument_ids", None) is not None:
        return True
    strategy.set_external_order_instrument_ids([instrument_id])
    return False


def _build_node(plan: LivePlan) -> LiveNode:
    instrument = instrument_of(plan.symbol)
    endpoints, limits = plan.endpoints, plan.limits
    for url in (endpoints.rest_url, endpoints.ws_url, endpoints.ws_trading_url):
        _require_loopback(url)
    data = BinanceDataClientConfig(
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=endpoints.rest_url,
        base_url_ws=endpoints.ws_url,
    )
    trading = BinanceExecutionClientConfig(
        account_id=ACCOUNT_ID,
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=endpoints.rest_url,
        base_url_ws=endpoints.ws_url,
        base_url_ws_trading=endpoints.ws_trading_url,
        api_key=endpoints.api_key,
        api_secret=endpoints.api_secret,
        oms_type=OmsType.NETTING,
    )
    config = LiveNodeConfig(
        environment=Environment.LIVE,
        # Part of every client order id, beside the strategy's tag and a count: no two engines of a run share an id.
        trader_id=TraderId(f"OPSLAB-{plan.number:03d}"),
        logging=logger_config(plan.log_level),
        timeout_connection_secs=float(CONNECT_SECONDS),
        timeout_disconnection_secs=float(DISCONNECT_SECONDS),
        delay_post_stop_secs=0.0,
        queue_monitor=_QUEUES,
        risk_engine=LiveRiskEngineConfig(
            max_order_submit_rate=f"{limits.max_orders_per_second * plan.order_rate_factor}/00:00:01",
            max_order_modify_rate=f"{MAX_MODIFIES_PER_SECOND * plan.order_rate_factor}/00:00:01",
            max_notional_per_order={instrument.instrument_id: limits.max_notional_per_order},
        ),
        exec_engine=LiveExecutionEngineConfig(
            reconciliation=True,
            reconciliation_startup_delay_secs=STARTUP_DELAY_SECONDS,
            inflight_check_interval_ms=IN_FLIGHT_CHECK_INTERVAL_MS,
            inflight_check_threshold_ms=IN_FLIGHT_THRESHOLD_MS,
            inflight_check_retries=IN_FLIGHT_RETRIES,
            open_check_interval_secs=OPEN_CHECK_INTERVAL_SECONDS,
            open_check_threshold_ms=IN_FLIGHT_THRESHOLD_MS,
            open_check_missing_retries=OPEN_CHECK_RETRIES,
            open_check_open_only=False,
            open_check_lookback_mins=1,
        ),
    )
    return (
        LiveNodeBuilder.from_config("OPSLAB", config)
        .add_data_client(None, BinanceDataClientFactory(), data)
        .add_exec_client(None, BinanceExecutionClientFactory(), trading)
        .build()
    )


def _require_loopback(url: str) -> None:
    """Raises Usage unless the URL's host is a loopback address: a name would have to be resolved."""
    if not LoopbackUrl(url.replace("ws://", "http://", 1)).is_address:
        raise Usage("not a loopback URL: the host is a name")
