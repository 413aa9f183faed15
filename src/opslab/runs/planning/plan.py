"""Plan a run before it starts: data, identity, engine plan, name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opslab.datasets.dataset_records import check_playable, read_record, verify_files
from opslab.errors import DataChanged, Usage
from opslab.model.market.dataset import DatasetRecord
from opslab.model.market.instrument import instrument_of
from opslab.model.messages.engine_messages import (
    EngineAccount,
    EngineLimits,
    EnginePlan,
    LivePlan,
    ScenarioPlan,
    UserStrategyPlan,
    money,
)
from opslab.model.messages.venue_messages import VenueAccount, VenueEndpoints, VenueKey, VenueLimits, VenuePlan
from opslab.model.primitives.ids import DatasetId, RunId
from opslab.model.primitives.instant import name_stamp, parse_minute
from opslab.model.run.code_inputs import CodeParts
from opslab.model.run.metadata import Git, Identity, RunDataset
from opslab.model.spec.risk_profile import PROFILES, order_rate_factor
from opslab.model.spec.run_spec import BacktestSpec, Mode, PaperSpec, RunSpec, StrategyRef, UserStrategyRef
from opslab.ports import Clock
from opslab.resources import exchange_info_symbol
from opslab.runs.planning.data_window import Window, last_close_ns, window_of
from opslab.runs.planning.identity import code_parts, git_state, identity_of, input_digest
from opslab.runs.planning.strategy_files import TooManyFiles, collect_strategy_files
from opslab.runs.planning.strategy_inspection import Inspected, inspect_strategy, user_strategy_plan
from opslab.specs.load import LoadedSpec
from opslab.store.layout import Layout


@dataclass(frozen=True, slots=True)
class Original:
    """The run that a backtest reproduces."""

    run_id: RunId
    strategy_files: dict[str, Path]
    """The stored files of its user strategy, by name."""


@dataclass(frozen=True, slots=True)
class _CommonPlan:
    """Common part of the plans of both modes."""

    run_id: RunId
    loaded: LoadedSpec
    dataset: DatasetRecord
    identity: Identity
    input_digest: str
    code: CodeParts
    strategy_files: dict[str, Path]
    """The files of a user strategy, by name."""
    git: Git | None
    window: Window

    def dataset_used(self, rows: int) -> RunDataset:
        """rows: candles used."""
        record, data = self.dataset, self.loaded.spec.data
        return RunDataset(
            name=record.name,
            kind=record.kind,
            fingerprint=record.fingerprint,
            rows=rows,
            first_open=record.first_open,
            last_open=record.last_open,
            start=data.start,
            end=data.end,
            allowed=record.allowed,
            allowed_findings={rule: record.findings[rule] for rule in record.allowed if rule in record.findings},
            market=record.market,
            rounded=record.repairs.rounded_prices + record.repairs.rounded_volumes,
        )


@dataclass(frozen=True, slots=True)
class BacktestPlan(_CommonPlan):
    spec: BacktestSpec
    engine: EnginePlan
    reproduces: str | None
    """Id of the run that this one reproduces."""

    def run_dataset(self) -> RunDataset:
        return self.dataset_used(self.engine.rows)


@dataclass(frozen=True, slots=True)
class PaperPlan(_CommonPlan):
    spec: PaperSpec
    strategy: ScenarioPlan | UserStrategyPlan
    symbol: dict[str, Any]
    """The instrument's entry of exchangeInfo."""
    rows: int
    """Number of bars in the run."""
    last_close_ns: int
    """`ts_event` of the last bar."""

    @property
    def reproduces(self) -> None:
        """A paper run depends on a clock and reproduces no other run."""

    def run_dataset(self) -> RunDataset:
        return self.dataset_used(self.rows)

    def venue(self, home: Path, folder: Path, key: VenueKey, token: str) -> VenuePlan:
        """The plan of this run's venue, which has the run's name. folder: of its ledger."""
        paper, account, data = self.spec.paper, self.spec.account, self.spec.data
        return VenuePlan(
            name=self.run_id,
            key=key,
            host="127.0.0.1",
            port=0,
            token=token,
            symbol=self.symbol,
            dataset=self.dataset.name,
            fingerprint=self.dataset.fingerprint,
            home=str(home),
            ledger=str(folder),
            start_ms=parse_minute(data.start) if data.start else None,
            end_ms=parse_minute(data.end) if data.end else None,
            max_bars=self.rows,
            speed=None if paper.speed == "max" else float(paper.speed),
            pace="bar_done" if paper.speed == "max" else "clock",
            start="kline_1m",
            ticks_per_minute=paper.ticks_per_minute,
            latency_ms=paper.latency_ms,
            account=VenueAccount(
                balance=account.starting_balances.USDT,
                leverage=account.leverage,
                maker_fee=account.fees.maker,
                taker_fee=account.fees.taker,
            ),
            limits=VenueLimits(),
            on_orphan=paper.on_stop,
        )

    def live(
        self,
        endpoints: VenueEndpoints,
        number: int,
        home: Path | None = None,
        earlier_order_ids: tuple[str, ...] = (),
    ) -> LivePlan:
        """Engine `number` of this run, from 1. home: folder of its kill switch; None: no kill switch."""
        paper = self.spec.paper
        return LivePlan(
            run_id=self.run_id,
            strategy=self.strategy,
            symbol=self.symbol,
            bar_type=instrument_of(self.symbol).bar_type,
            endpoints=endpoints,
            rows=self.rows,
            last_close_ns=self.last_close_ns,
            number=number,
            earlier_order_ids=earlier_order_ids,
            on_stop=paper.on_stop,
            silent_after_seconds=paper.silent_after(),
            acknowledges_bars=paper.speed == "max",
            limits=_limits(self.spec),
            speed=None if paper.speed == "max" else float(paper.speed),
            order_rate_factor=order_rate_factor(paper.speed),
            log_level=self.spec.observability.log,
            home=str(home) if home else None,
        )


RunPlan = BacktestPlan | PaperPlan


@dataclass(frozen=True, slots=True)
class _Inputs:
    """The current inputs of a run."""

    dataset: DatasetRecord
    window: Window
    identity: Identity
    code: CodeParts
    strategy_files: dict[str, Path]


def plan_run(layout: Layout, loaded: LoadedSpec, run_id: RunId, spec_folder: Path, clock: Clock) -> RunPlan:
    """The plan for the mode of the spec. Raises as `plan_backtest` and `plan_paper`."""
    planned = plan_paper if isinstance(loaded.spec, PaperSpec) else plan_backtest
    return planned(layout, loaded, run_id, spec_folder, clock)


def plan_backtest(
    layout: Layout,
    loaded: LoadedSpec,
    run_id: RunId,
    spec_folder: Path,
    clock: Clock,
    reproduces: Original | None = None,
) -> BacktestPlan:
    """Find the data, check it against its record and the spec's fingerprint; inspect a user strategy.

    Raises NotFound, Corrupt, DataChanged, InvalidSpec, or Usage for a spec of another mode; nothing has been written
    then.
    """
    spec = loaded.spec
    if not isinstance(spec, BacktestSpec):
        raise other_mode(loaded, "backtest")
    inputs = _check_inputs(layout, loaded, spec_folder, clock, reproduces)
    return BacktestPlan(
        run_id=run_id,
        loaded=loaded,
        dataset=inputs.dataset,
        identity=inputs.identity,
        input_digest=input_digest(inputs.identity),
        code=inputs.code,
        strategy_files=inputs.strategy_files,
        git=git_state(spec_folder) if reproduces is None else None,
        window=inputs.window,
        spec=spec,
        engine=_engine_plan(layout, spec, run_id, inputs, spec_folder),
        reproduces=reproduces.run_id if reproduces else None,
    )


def plan_paper(layout: Layout, loaded: LoadedSpec, run_id: RunId, spec_folder: Path, clock: Clock) -> PaperPlan:
    """As `plan_backtest`. Raises BadData too, for candles that no venue could send."""
    spec = loaded.spec
    if not isinstance(spec, PaperSpec):
        raise other_mode(loaded, "paper")
    inputs = _check_inputs(layout, loaded, spec_folder, clock)
    check_playable(inputs.dataset)
    rows = _bars_to_see(loaded, spec, inputs)
    return PaperPlan(
        run_id=run_id,
        loaded=loaded,
        dataset=inputs.dataset,
        identity=inputs.identity,
        input_digest=input_digest(inputs.identity),
        code=inputs.code,
        strategy_files=inputs.strategy_files,
        git=git_state(spec_folder),
        window=inputs.window,
        spec=spec,
        strategy=_strategy_plan(spec, spec_folder),
        symbol=exchange_info_symbol(spec.instrument),
        rows=rows,
        last_close_ns=last_close_ns(layout, inputs.dataset, inputs.window, rows),
    )


def _bars_to_see(loaded: LoadedSpec, spec: PaperSpec, inputs: _Inputs) -> int:
    """Bars of the window, or `max_bars`. Raises InvalidSpec when the dataset has fewer."""
    max_bars, available, dataset = spec.paper.max_bars, inputs.window.rows, inputs.dataset.name
    if max_bars is None or max_bars <= available:
        return max_bars or available
    source = f"the window of dataset {dataset}" if spec.data.start or spec.data.end else dataset
    message = f"must be at most {available}, the candles of {source}, got {max_bars}"
    hint = "leave max_bars out for all of them, or run on more data"
    raise loaded.invalid_spec([loaded.mistake(("paper", "max_bars"), message)], hint)


def _check_inputs(
    layout: Layout, loaded: LoadedSpec, spec_folder: Path, clock: Clock, original: Original | None = None
) -> _Inputs:
    """Raises as `plan_backtest`."""
    spec = loaded.spec
    dataset = DatasetId(spec.data.dataset)
    record = read_record(layout, dataset)
    expected = spec.data.fingerprint
    if expected is not None and expected != record.fingerprint:
        raise DataChanged(
            f"dataset {dataset} has fingerprint {record.fingerprint}, the spec asks for {expected}",
            hint="use the dataset the spec was written for, or change data.fingerprint",
        )
    verify_files(layout, record)
    window = window_of(layout, spec.data, record)
    inspected = inspect_strategy(loaded, spec_folder, clock)
    files = original.strategy_files if original else _strategy_files(layout, loaded, spec_folder, inspected)
    code = code_parts(files)
    return _Inputs(record, window, identity_of(spec, record.fingerprint, code), code, files)


def other_mode(loaded: LoadedSpec, expected: Mode) -> Usage:
    """The error of a command for `expected` mode that got a spec of the other mode."""
    mode = loaded.spec.mode
    message = f"{loaded.file}: the spec's mode is {mode}, and this is for {expected} runs"
    return Usage(message, hint=f"tc run {mode} --spec {loaded.file}")


def _strategy_files(
    layout: Layout, loaded: LoadedSpec, spec_folder: Path, inspected: Inspected | None
) -> dict[str, Path]:
    """The files of a user strategy; none for a built-in scenario."""
    if inspected is None:
        return {}
    lab_folders = [layout.home / name for name in ("data", "artifacts", "runtime")]
    try:
        return collect_strategy_files(spec_folder, inspected.locations, lab_folders)
    except TooManyFiles as error:
        message = f"the spec's folder or the strategy's package {error}"
        hint = "give spec and strategy a folder of their own"
        raise loaded.invalid_spec([loaded.mistake(("strategy", "path"), message)], hint) from None


def generate_run_id(layout: Layout, spec: RunSpec, clock: Clock, suffix: str) -> RunId:
    """A name from time and strategy: `20250504-153300-ops-smoke-demo`; `suffix` only when the name exists."""
    plain = RunId(f"{name_stamp(clock.now_ns())}-{_kebab(spec.strategy)}")
    return RunId(f"{plain}-{suffix}") if layout.run(plain).exists() else plain


def _kebab(strategy: StrategyRef | UserStrategyRef) -> str:
    """`ops-smoke-demo` of a scenario, `moving-average-cross` of a class MovingAverageCross."""
    name = strategy.path.rpartition(":")[2] if isinstance(strategy, UserStrategyRef) else strategy.name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", "-", name).strip("-").lower()
    return words[:40].strip("-") or "own"


def _engine_plan(layout: Layout, spec: BacktestSpec, run_id: RunId, inputs: _Inputs, spec_folder: Path) -> EnginePlan:
    entry = exchange_info_symbol(spec.instrument)
    balances = spec.account.starting_balances
    return EnginePlan(
        run_id=run_id,
        strategy=_strategy_plan(spec, spec_folder),
        symbol=entry,
        bar_type=instrument_of(entry).bar_type,
        bars_path=str(layout.dataset(DatasetId(inputs.dataset.name)) / "data" / "bars"),
        work_path=str(layout.work(run_id)),
        rows=inputs.window.rows,
        start_ns=inputs.window.start_ns,
        end_ns=inputs.window.end_ns,
        account=EngineAccount(
            starting_balances=(money(balances.USDT, "USDT"),),
            leverage=spec.account.leverage,
            maker_fee=f"{spec.account.fees.maker:f}",
            taker_fee=f"{spec.account.fees.taker:f}",
        ),
        limits=_limits(spec),
        log_level=spec.observability.log,
        home=str(layout.home),
    )


def _strategy_plan(spec: RunSpec, spec_folder: Path) -> ScenarioPlan | UserStrategyPlan:
    if isinstance(spec.strategy, UserStrategyRef):
        return user_strategy_plan(spec.strategy, spec_folder)
    return ScenarioPlan(name=spec.strategy.name, version=spec.strategy.version)


def _limits(spec: RunSpec) -> EngineLimits:
    limits = PROFILES[spec.risk.profile]
    return EngineLimits(
        max_notional_per_order=f"{limits.max_notional_per_order:f}",
        max_orders_per_second=limits.max_orders_per_second,
    )
