"""Everything that is settled before a run starts: data, identity, engine plan, name."""

import re
from dataclasses import dataclass
from pathlib import Path

from opslab.datasets.records import record_of, verify_files
from opslab.errors import DataChanged
from opslab.model.dataset import DatasetRecord
from opslab.model.frame import EngineAccount, EngineLimits, EnginePlan, OwnStrategyPlan, ScenarioPlan, money
from opslab.model.ids import DatasetId, RunId
from opslab.model.inputs import CodeParts
from opslab.model.instant import iso
from opslab.model.instrument import instrument_of
from opslab.model.risk import PROFILES
from opslab.model.run import Git, Identity, RunDataset
from opslab.model.spec import BacktestSpec, OwnStrategy, StrategyRef
from opslab.ports import Clock
from opslab.resources import exchange_info_symbol
from opslab.runs.identity import code_parts, git_state, identity_of, input_digest
from opslab.runs.inspection import Inspected, inspect_strategy, own_plan
from opslab.runs.own_files import TooMuch, own_files
from opslab.runs.window import Window, window_of
from opslab.specs.load import LoadedSpec
from opslab.store.layout import Layout


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    run_id: RunId
    loaded: LoadedSpec
    dataset: DatasetRecord
    identity: Identity
    input_digest: str
    code: CodeParts
    own: dict[str, Path]
    """The files of a user's strategy, by name."""
    git: Git | None
    engine: EnginePlan
    reproduces: str | None = None
    """The run that this one repeats."""

    @property
    def spec(self) -> BacktestSpec:
        return self.loaded.spec

    def run_dataset(self) -> RunDataset:
        found, asked = self.dataset, self.spec.data
        return RunDataset(
            name=found.name,
            kind=found.kind,
            fingerprint=found.fingerprint,
            rows=self.engine.rows,
            first_open=found.first_open,
            last_open=found.last_open,
            start=asked.start,
            end=asked.end,
            allowed=found.allowed,
        )


def plan_backtest(
    layout: Layout,
    loaded: LoadedSpec,
    run_id: RunId,
    spec_folder: Path,
    clock: Clock,
    *,
    own: dict[str, Path] | None = None,
    reproduces: str | None = None,
) -> BacktestPlan:
    """Find the data, hold it against its record and against the spec's gate; look at the user's own strategy.

    own: its files, when they are known already. Raises NotFound, Corrupt, DataChanged, or InvalidSpec; nothing has
    been written then.
    """
    spec = loaded.spec
    dataset = DatasetId(spec.data.dataset)
    record = record_of(layout, dataset)
    wanted = spec.data.fingerprint
    if wanted is not None and wanted != record.fingerprint:
        raise DataChanged(
            f"dataset {dataset} has fingerprint {record.fingerprint}, the spec asks for {wanted}",
            hint="use the dataset the spec was written for, or change data.fingerprint",
        )
    verify_files(layout, record)
    window = window_of(layout, spec.data, record)
    inspected = inspect_strategy(loaded, spec_folder, clock)
    files = own if own is not None else _own_files(layout, loaded, spec_folder, inspected)
    code = code_parts(files)
    identity = identity_of(spec, record.fingerprint, code)
    return BacktestPlan(
        run_id=run_id,
        loaded=loaded,
        dataset=record,
        identity=identity,
        input_digest=input_digest(identity),
        code=code,
        own=files,
        git=git_state(spec_folder) if reproduces is None else None,
        engine=_engine_plan(layout, spec, run_id, record, window, spec_folder),
        reproduces=reproduces,
    )


def _own_files(layout: Layout, loaded: LoadedSpec, spec_folder: Path, inspected: Inspected | None) -> dict[str, Path]:
    """The files of the user's strategy; none when it is the lab's own."""
    if inspected is None:
        return {}
    labs = [layout.home / name for name in ("data", "artifacts", "runtime")]
    try:
        return own_files(spec_folder, inspected.places, labs)
    except TooMuch as much:
        message = f"the spec's folder or the strategy's package {much}"
        hint = "give spec and strategy a folder of their own"
        raise loaded.refused([loaded.mistake(("strategy", "path"), message)], hint) from None


def made_run_id(layout: Layout, spec: BacktestSpec, clock: Clock, suffix: str) -> RunId:
    """A name from time and strategy: `20250504-153300-ops-smoke-demo`; `suffix` only when that is taken."""
    stamp = iso(clock.now_ns())[:19].replace("-", "").replace(":", "").replace("T", "-")
    plain = RunId(f"{stamp}-{_kebab(spec.strategy)}")
    return RunId(f"{plain}-{suffix}") if layout.run(plain).exists() else plain


def _kebab(strategy: StrategyRef | OwnStrategy) -> str:
    """`ops-smoke-demo` of a scenario, `moving-average-cross` of a class MovingAverageCross."""
    name = strategy.path.rpartition(":")[2] if isinstance(strategy, OwnStrategy) else strategy.name
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", "-", name).strip("-").lower()
    return words[:40].strip("-") or "own"


def _engine_plan(
    layout: Layout, spec: BacktestSpec, run_id: RunId, record: DatasetRecord, window: Window, spec_folder: Path
) -> EnginePlan:
    entry = exchange_info_symbol(spec.instrument)
    instrument = instrument_of(entry)
    limits = PROFILES[spec.risk.profile]
    balances = spec.account.starting_balances
    strategy: ScenarioPlan | OwnStrategyPlan
    if isinstance(spec.strategy, OwnStrategy):
        strategy = own_plan(spec.strategy, spec_folder)
    else:
        strategy = ScenarioPlan(name=spec.strategy.name, version=spec.strategy.version)
    return EnginePlan(
        run_id=run_id,
        strategy=strategy,
        symbol=entry,
        bar_type=instrument.bar_type,
        bars_path=str(layout.dataset(DatasetId(record.name)) / "data" / "bars"),
        work_path=str(layout.work(run_id)),
        rows=window.rows,
        start_ns=window.start_ns,
        end_ns=window.end_ns,
        account=EngineAccount(
            starting_balances=(money(balances.USDT, "USDT"),),
            leverage=spec.account.leverage,
            maker_fee=f"{spec.account.fees.maker:f}",
            taker_fee=f"{spec.account.fees.taker:f}",
        ),
        limits=EngineLimits(
            max_notional_per_order=f"{limits.max_notional_per_order:f}",
            max_orders_per_second=limits.max_orders_per_second,
        ),
        order_events=spec.observability.journal,
    )
