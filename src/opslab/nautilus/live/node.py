"""A live node with the engine's own Binance adapters, against the loopback venue."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Literal

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceExecutionClientConfig,
    BinanceExecutionClientFactory,
    BinanceProductType,
)
from nautilus_trader.common import Cache, Environment, LoggerConfig, LogLevel
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
from opslab.model.messages.engine_messages import LivePlan, ScenarioPlan
from opslab.model.messages.paper_messages import Flattened
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.model.run.metadata import Failure
from opslab.nautilus.backtest import EngineOutcome, engine_version, report
from opslab.nautilus.live.monitor import ControlCommands, Monitor
from opslab.nautilus.live.monitor_actor import MonitorActor
from opslab.nautilus.live.node_state import NodeState
from opslab.nautilus.live.rest_flatten import RestFlattener
from opslab.nautilus.live.shutdown import ACCOUNT_LEFT, ShutdownSequence
from opslab.nautilus.live.venue_rest_client import VenueRestClient, VenueUnreachable, flatten
from opslab.nautilus.strategy.guarded import Guarded, replaced
from opslab.nautilus.strategy.live_recorder import LiveStrategyRecorder

ACCOUNT = AccountId("BINANCE-001")
CONNECT_SECONDS = 20
DISCONNECT_SECONDS = 3
STARTUP_DELAY_SECONDS = 0.5
"""Before the engine first looks after its orders and positions; its own default is 10 s."""
IN_FLIGHT_CHECK_INTERVAL_MS = 500
IN_FLIGHT_THRESHOLD_MS = 1_000
IN_FLIGHT_RETRIES = 20
"""How often, from when on and how many times the engine asks for an order that nobody answers it about, before it takes
it for lost. With its own figures (2 s, 5 s, 5) a strategy that cancels again meanwhile keeps it from ever asking."""
OPEN_CHECK_INTERVAL_SECONDS = 2.0
OPEN_CHECK_RETRIES = 2
"""How often the engine holds its open orders against the venue's, and how often one may be missing there before it asks
what became of it. Without, what was filled while the user stream was down is never known (measured)."""
POLL_SECONDS = 0.02
UNCONNECTED_STOP_SECONDS = 2.0
"""How long a node that has not started may take to stop: between two tries to connect it does not look."""
REST_FLATTEN_ROUNDS = 4
REST_FLATTEN_ROUND_SECONDS = 0.25
_QUEUES = QueueMonitorConfig(
    queue_depth_trigger=1_000,
    queue_depth_clear=100,
    mean_dispatch_ns_trigger=100_000_000,
    mean_dispatch_ns_clear=10_000_000,
)
_DISCONNECT_FAILED = "Failed to disconnect"
"""What the engine says when the venue was not there any more to say goodbye to."""
_NOT_CONNECTED = "readiness timeout while waiting for engine connections"
"""What the engine says when its clients did not connect in time."""


def run(
    plan: LivePlan,
    strategy: Guarded,
    recorder: LiveStrategyRecorder,
    commands: ControlCommands,
    give_up: Callable[[EngineOutcome], None],
    rest_flattener: RestFlattener,
) -> EngineOutcome:
    """Run until the last bar is dealt with, until `watch.stop`, or to a failure, which stands in `watch.failure`.

    give_up: called from another thread when a node that was never connected does not stop; must not return.
    hunt: begun by whoever halts the run.
    Raises: Usage when the venue is not on this machine.
    """
    instrument = instrument_of(plan.symbol)
    client = VenueRestClient(plan.endpoints, instrument.symbol, recorder.clock)
    node = _node(plan)
    handle = node.handle()
    monitors: list[Monitor] = []

    def monitor(cache: Cache) -> Monitor:
        state = NodeState(cache, instrument)
        shutdown = ShutdownSequence(
            plan=plan,
            instrument=instrument,
            strategy=strategy,
            recorder=recorder,
            client=client,
            cache=cache,
            state=state,
            rest_flattener=rest_flattener,
            send_snapshot=lambda ask: monitors[0].send_snapshot(ask),
            stop_node=handle.stop,
        )
        query = partial(_query_account_and_orders, strategy, state)
        monitors.append(Monitor(plan, recorder, commands, state, shutdown, query))
        return monitors[0]

    node.add_strategy(strategy)
    _claim_external_orders(strategy, InstrumentId.from_str(instrument.instrument_id))
    node.add_actor(MonitorActor.build(recorder, monitor, handle.stop))
    _record_start(plan, recorder)
    ended, give_up_lock = threading.Event(), threading.Lock()
    began = time.perf_counter()

    def leave_unconnected() -> None:
        if _must_give_up(recorder, handle, ended) and give_up_lock.acquire(blocking=False):
            _report_account(plan, recorder, client, rest_flattener)
            give_up(_outcome(recorder, early=True, seconds=time.perf_counter() - began))

    threading.Thread(target=leave_unconnected, name="unconnected", daemon=True).start()
    _run_node(node, recorder, monitors)
    ended.set()
    give_up_lock.acquire()  # for ever, when this process is being given up
    seconds = time.perf_counter() - began
    if not recorder.stop:
        _record_failure(recorder, "engine", "the node stopped by itself before the run was over")
    _note_replaced(strategy, recorder)
    _report_account(plan, recorder, client, rest_flattener)
    return _outcome(recorder, early=not (monitors and monitors[0].saw_last_bar), seconds=seconds)


def _record_start(plan: LivePlan, recorder: LiveStrategyRecorder) -> None:
    recorder.messages.send({"event": "engine_started", "payload": {"engine": "nautilus", "version": engine_version()}})
    payload = {**strategy_name(plan), "bar_type": plan.bar_type}
    recorder.messages.send({"event": "scenario_registered", "payload": payload})


def _run_node(node: LiveNode, recorder: LiveStrategyRecorder, monitors: Sequence[Monitor]) -> None:
    """Returns when the node has ended. monitors: empty until it connected."""
    try:
        node.run()
    except Exception as error:  # noqa: BLE001  (the engine raises plain RuntimeErrors, also for what on_start raised)
        if not (_DISCONNECT_FAILED in str(error) and monitors and monitors[0].is_finished):
            _record_failure(recorder, "engine", str(error))


def _note_replaced(strategy: Guarded, recorder: LiveStrategyRecorder) -> None:
    for name in replaced(strategy):
        message = f"the strategy put another {name} in place of its own while it ran: nobody saw what that did"
        _record_failure(recorder, "strategy", message)


def strategy_name(plan: LivePlan) -> dict[str, str]:
    strategy_plan = plan.strategy
    if isinstance(strategy_plan, ScenarioPlan):
        return {"name": strategy_plan.name, "version": strategy_plan.version}
    return {
        "path": strategy_plan.path,
        **({"config_path": strategy_plan.config_path} if strategy_plan.config_path else {}),
    }


def apply_on_stop(plan: LivePlan, client: VenueRestClient) -> Flattened:
    """As `on_stop` wants it, past an engine that does not do it. From any thread, and blocking for some seconds."""
    if plan.on_stop == "leave":
        return ACCOUNT_LEFT
    began = time.perf_counter()
    flat, rounds = False, 0
    while not flat and rounds < REST_FLATTEN_ROUNDS:
        if rounds:
            time.sleep(REST_FLATTEN_ROUND_SECONDS)
        rounds += 1
        with suppress(VenueUnreachable):
            flat = flatten(client)
    return Flattened(flat=flat, rounds=rounds, seconds=round(time.perf_counter() - began, 6))


def _query_account_and_orders(strategy: Guarded, state: NodeState) -> None:
    """Balances and open orders. By itself the engine does not, as long as its strategy goes on to cancel them, and has
    orders open for ever that were filled while nobody told it (measured)."""
    Strategy.query_account(strategy, ACCOUNT)
    for order in state.open_orders():
        Strategy.query_order(strategy, order)


def _report_account(
    plan: LivePlan, recorder: LiveStrategyRecorder, client: VenueRestClient, rest_flattener: RestFlattener
) -> None:
    """When the monitor did not see to it: the node never ran, or was stopped past it. In a halt in any case."""
    recorder.request_stop("node_ended")
    recorder.report_gate()
    if recorder.halted:
        done = rest_flattener.finish()
        if not recorder.is_flattened_reported:
            recorder.report_flattened(done)
    elif not recorder.is_flattened_reported:
        done, engine_attempt = apply_on_stop(plan, client), recorder.engine_attempt or ACCOUNT_LEFT
        rounds, seconds = engine_attempt.rounds + done.rounds, engine_attempt.seconds + done.seconds
        recorder.report_flattened(Flattened(flat=done.flat, rounds=rounds, seconds=round(seconds, 6)))


def _outcome(recorder: LiveStrategyRecorder, *, early: bool, seconds: float) -> EngineOutcome:
    recorder.messages.send({"ended": {"bars": recorder.bars, "early": early}})
    counters, reasons = report(recorder)
    return EngineOutcome(counters=counters, denial_reasons=reasons, seconds=seconds, bars=recorder.bars)


def _record_failure(recorder: LiveStrategyRecorder, kind: Literal["strategy", "engine"], message: str) -> None:
    if recorder.failure is not None:
        return
    if _NOT_CONNECTED in message:
        message = f"the node could not connect within {CONNECT_SECONDS} s"
    recorder.failure = Failure(kind=kind, message=recorder.redact(message))
    recorder.stop_reason = recorder.stop_reason or "failure"


def _claim_external_orders(strategy: Guarded, instrument_id: InstrumentId) -> None:
    """What an earlier engine of the run has left open is the strategy's; one that claims by itself keeps its way."""
    if getattr(strategy.config, "external_order_instrument_ids", None) is None:
        strategy.set_external_order_instrument_ids([instrument_id])


def _must_give_up(recorder: LiveStrategyRecorder, handle: LiveNodeHandle, ended: threading.Event) -> bool:
    """From beside, where only the node's handle may be touched: whether it was to stop before it ran, and does not."""
    while not ended.wait(POLL_SECONDS):
        if recorder.is_running:
            return False
        if recorder.stop:
            handle.stop()
            return not ended.wait(UNCONNECTED_STOP_SECONDS)
    return False


def _node(plan: LivePlan) -> LiveNode:
    instrument = instrument_of(plan.symbol)
    endpoints, limits = plan.endpoints, plan.limits
    for url in (endpoints.rest_url, endpoints.ws_url, endpoints.ws_trading_url):
        _refuse_elsewhere(url)
    data = BinanceDataClientConfig(
        product_type=BinanceProductType.USD_M,
        environment=BinanceEnvironment.LIVE,
        base_url_http=endpoints.rest_url,
        base_url_ws=endpoints.ws_url,
    )
    trading = BinanceExecutionClientConfig(
        account_id=ACCOUNT,
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
        # Part of every client order id, as the strategy's tag and a count are: no engine of a run repeats another's.
        trader_id=TraderId(f"OPSLAB-{plan.number:03d}"),
        logging=LoggerConfig(stdout_level=LogLevel.WARNING, is_colored=False),
        timeout_connection_secs=float(CONNECT_SECONDS),
        timeout_disconnection_secs=float(DISCONNECT_SECONDS),
        delay_post_stop_secs=0.0,
        queue_monitor=_QUEUES,
        risk_engine=LiveRiskEngineConfig(
            max_order_submit_rate=f"{limits.max_orders_per_second}/00:00:01",
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


def _refuse_elsewhere(url: str) -> None:
    """Raises Usage unless the URL's host is a loopback address, which nobody has to resolve."""
    if not LoopbackUrl(url.replace("ws://", "http://", 1)).is_address:
        raise Usage("not a loopback URL: the host is a name")
