"""One example of each event of a journal."""

from opslab.model.journal import check_events as checks
from opslab.model.journal import engine_events as engine
from opslab.model.journal import run_events as run
from opslab.model.journal import venue_events as venue
from opslab.model.journal.fault_events import FaultEnded, FaultStarted
from opslab.model.journal.journal_event import JournalEvent
from opslab.model.journal.torn_end_event import JournalTornEndKept
from opslab.model.messages.paper_messages import (
    AccountSnapshot,
    AccountState,
    EngineHeartbeat,
    NodeSnapshot,
    PositionState,
    QueueState,
)
from opslab.model.run.event import RUN_FORMAT
from opslab.model.run.halt_summary import HaltFacts
from opslab.model.run.metadata import (
    EngineCost,
    Failure,
    Git,
    Identity,
    Owner,
    RunDataset,
    Safety,
    ScenarioCounters,
)
from opslab.model.run.paper_summary import EngineFacts, Latencies, PaperFacts
from opslab.model.run.run_counters import Reconciliations

AT = "2026-01-01T00:00:00.000000Z"
OWNER = Owner(host="h", boot_id="b", pid=7, process_start=9)
FAILURE = Failure(kind="engine", message="the engine process died of SIGKILL")
SAFETY = Safety(
    state="active",
    scope="all",
    file="runtime/kill_switch/all.state.json",
    reason="größer\n",
    actor="op",
    activated_at=AT,
    observed_by="watch",
    checked_at=AT,
)
DATASET = RunDataset(
    name="d", kind="imported", fingerprint="sha256:1", rows=9, first_open=AT, last_open=AT, allowed=("gap", "flat")
)
IDENTITY = Identity(
    spec_digest="sha256:1",
    dataset_fingerprint="sha256:2",
    code_digest="sha256:3",
    engine_version="2",
    python_version="3",
)
ACCOUNT = AccountState(
    as_of=AT,
    positions=(
        PositionState(instrument="BTCUSDT", side="LONG", signed_quantity="0.010", average_entry_price="42000.1"),
    ),
    open_orders=(),
    balances=None,
)
STATEMENT = AccountSnapshot(
    account=ACCOUNT,
    venue_order_ids={"a": "1"},
    transactions=1,
    orders=1,
    fills=1,
    replay="replaying",
    minutes=3,
    messages=9,
)
HEARTBEAT = EngineHeartbeat(
    number=1,
    sent_at=AT,
    bars=3,
    quotes=10,
    trades=5,
    last_bar_ns=None,
    ages_seconds={"bars": 0.1, "quotes": None, "trades": 2.0},
    feeds={"bars": "live", "quotes": "silent", "trades": "disconnected"},
    sockets={"user": "connected"},
    queue=QueueState(state="normal", depth=None),
    gate_closed=False,
    orders_gated=0,
    memory_bytes=100,
    event_lag_ms=None,
    timer_lag_ms=0.5,
    order_round_trips_ms=(3.0, 5.0),
    node=NodeSnapshot(request_number=0, account=ACCOUNT, in_flight=(), venue_order_ids={}),
)
HALT = HaltFacts(
    scope="all",
    run_switch="absent",
    all_switch="active",
    activated_at=AT,
    seen_at=AT,
    gate_closed_at=AT,
    seconds_to_gate=0.004,
)
PAPER = PaperFacts(
    engines=(EngineFacts(number=1, started_at=AT),),
    restarts=0,
    bars_expected=9,
    bars_seen=9,
    bars_missed=0,
    heartbeats=1,
    dropped_heartbeats=0,
    feeds={},
    reconciliations=Reconciliations(ok=1),
    final_reconciliation="ok",
    final_account=None,
    stop=None,
    latencies=Latencies(),
)
RESULTS = run.RunResults(
    metrics=ScenarioCounters(bars_seen=9),
    engine_cost=EngineCost(elapsed_seconds=1.0, bars_per_second=9.0, peak_memory_bytes=1),
    denial_reasons={"RUN_IS_ENDING": 1},
    artifacts={"orders.jsonl": "sha256:4"},
)

EXAMPLES: dict[type[JournalEvent], JournalEvent] = {
    type(event): event
    for event in (
        run.RunInitialized(
            format=RUN_FORMAT,
            run_id="r1",
            mode="backtest",
            strategy={"name": "ops_smoke_demo", "version": "v1"},
            venue="binance",
            instrument="BTCUSDT",
            risk_profile="tiny",
            dataset=DATASET,
            identity=IDENTITY,
            input_digest="sha256:5",
            git=Git(commit="c", dirty=True),
            lab_version="0.1.0",
            reproduces=None,
            spec_file_digest="sha256:6",
        ),
        run.RunStarted(owner=OWNER, git=None),
        run.KillSwitchObserved.of(SAFETY),
        run.PaperSafetyChecked.of(SAFETY),
        run.RunSafetyBlocked(ended_by="kill_switch", file="f", reason=None),
        run.PaperSafetyBlocked(ended_by="kill_switch", file="f", reason="x"),
        run.RunCompleted(**RESULTS, result_digest="sha256:7"),
        run.RunFailed(**RESULTS, failure=FAILURE),
        run.RunHalted(**RESULTS, ended_by="kill_switch", halt=HALT),
        run.RunAcknowledged(reason="größer", actor="op"),
        run.RunInterrupted(paper=PAPER, ended_by="owner_gone", ended_at=AT, recovered_at=AT),
        checks.ConnectivityReadinessEvaluated(
            state="configured", required=1, required_set=1, artifact="a-1.json", digest="d"
        ),
        checks.ConnectivityProbeEvaluated(
            state="probe_ok", status_code=200, total_ms=1.25, artifact="a-1.json", digest="d"
        ),
        checks.ReconciliationChecked(occasion="startup", comparisons=1, state="ok", ok=4, artifact=None, digest=None),
        checks.FailureDrillExecuted(
            drill="disconnect",
            status="completed",
            verdict="pass",
            deviated_at=None,
            control_run_id="a-control",
            started_at=AT,
            ended_at=AT,
            detect_seconds=0.25,
            recover_seconds=None,
            engine_limits=["x"],
            artifact="drills/disconnect.json",
            digest="d",
        ),
        engine.EngineStarted(engine="nautilus", version="2.0.0rc7"),
        engine.ScenarioRegistered(name="ops_smoke_demo", version="v1", bar_type="b", engine_number=2),
        engine.SubscriptionUnserved(
            code="subscription_empty", kind="bars", subject="BTCUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL"
        ),
        engine.ScenarioActionTriggered(bar=10, ts_event=1_704_067_859_999_000_000, close="42000.10"),
        engine.FeedStateChanged(
            number=1, feed="bars", from_state="live", to="silent", noticed_after_seconds=2.5, age_seconds=None
        ),
        engine.SocketStateChanged(socket="user", from_state="connected", to="disconnected", noticed_after_seconds=0.1),
        engine.BarOutOfOrder(ts_event=1, newest=2, skipped=True),
        engine.GateClosed(reason="last_bar"),
        engine.ForcedClose(kind="adl", client_order_id="adl_autoclose", side="SELL", quantity="0.010"),
        engine.EngineOrderEvent(type="OrderFilled", ts_event=1, last_qty="0.100"),
        engine.OrderGated(call="submit_order", client_order_id="O-1", side="BUY"),
        engine.DataVerified(dataset="d", fingerprint="sha256:1"),
        venue.VenueStarted(start_number=1, rest_url="http://127.0.0.1:1", ws_url="ws://a", ws_trading_url="ws://b"),
        venue.VenueLost(start_number=1, reason="exit 1"),
        venue.LedgerWriteFailed(start_number=1, count=2),
        venue.MarginCall(
            number=1,
            position="-0.010",
            mark_price="42000.00000000",
            wallet_balance="100.00000000",
            unrealized_profit="-1.00000000",
            maintenance_margin="1.68000000",
            venue_start=1,
        ),
        FaultStarted(fault="silence", number=1, terms={"which": "user", "stream": None, "share": 0.5}, venue_start=1),
        FaultEnded(fault="silence", number=1, reason="expired", venue_start=1),
        engine.EngineEnded(engine_number=1, bars=3, actions=0, gated={"RUN_IS_ENDING": 1}, dropped_messages=2),
        engine.EngineLost(
            engine_number=1,
            bars=3,
            actions=0,
            gated={},
            dropped_messages=0,
            ended_by="SIGKILL",
            failure=FAILURE,
            memory_bytes=None,
            last_events=({"event": "gate_closed", "reason": "last_bar"},),
        ),
        engine.EngineRestarted(engine_number=2, max_engines=4),
        engine.PaperHeartbeat(engine_number=1, heartbeat=HEARTBEAT, venue=STATEMENT),
        engine.RunStopping(reason="SIGTERM", on_stop="flatten"),
        engine.TradingHalted(
            scope="run",
            activated_at=None,
            seen_at=AT,
            gate_closed_at=AT,
            seconds_to_gate=0.003,
            by="engine",
            run_switch="active",
            all_switch="absent",
        ),
        engine.OrdersCanceled(by="engine", reason="max_bars", open_orders=0, rounds=1, seconds=0.2),
        engine.PositionsFlattened(by="venue", reason="kill_switch", flat=None, venue=ACCOUNT),
        JournalTornEndKept(file="journal-torn-at-7.bin", offset=7, size_bytes=3, digest="sha256:8"),
    )
}
