"""Everything that is settled before a run gets its folder: data, identity, engine plan, name."""

from dataclasses import dataclass
from pathlib import Path

from opslab.datasets.records import record_of, verify_files
from opslab.errors import DataChanged
from opslab.model.dataset import DatasetRecord
from opslab.model.frame import EngineAccount, EngineLimits, EnginePlan, money
from opslab.model.ids import DatasetId, RunId
from opslab.model.instant import iso
from opslab.model.instrument import instrument_of
from opslab.model.risk import PROFILES
from opslab.model.run import Git, Identity, RunDataset
from opslab.model.spec import BacktestSpec
from opslab.ports import Clock
from opslab.resources import exchange_info_symbol
from opslab.runs.identity import git_state, identity_of, input_digest
from opslab.specs.load import LoadedSpec
from opslab.store.layout import Layout


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    run_id: RunId
    loaded: LoadedSpec
    dataset: DatasetRecord
    identity: Identity
    input_digest: str
    git: Git | None
    engine: EnginePlan

    @property
    def spec(self) -> BacktestSpec:
        return self.loaded.spec

    def run_dataset(self) -> RunDataset:
        found = self.dataset
        return RunDataset(
            name=found.name,
            kind=found.kind,
            fingerprint=found.fingerprint,
            rows=found.rows,
            first_open=found.first_open,
            last_open=found.last_open,
        )


def plan_backtest(layout: Layout, loaded: LoadedSpec, run_id: RunId, spec_folder: Path) -> BacktestPlan:
    """Find the data, hold it against its record and against the spec's gate.

    Raises NotFound, Corrupt, or DataChanged; nothing has been written then.
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
    identity = identity_of(spec, record.fingerprint)
    return BacktestPlan(
        run_id=run_id,
        loaded=loaded,
        dataset=record,
        identity=identity,
        input_digest=input_digest(identity),
        git=git_state(spec_folder),
        engine=_engine_plan(layout, spec, run_id, record),
    )


def made_run_id(layout: Layout, spec: BacktestSpec, clock: Clock, suffix: str) -> RunId:
    """A name from time and strategy: `20250504-153300-ops-smoke-demo`; `suffix` only when that is taken."""
    stamp = iso(clock.now_ns())[:19].replace("-", "").replace(":", "").replace("T", "-")
    plain = RunId(f"{stamp}-{spec.strategy.name.replace('_', '-')}")
    return RunId(f"{plain}-{suffix}") if layout.run(plain).exists() else plain


def _engine_plan(layout: Layout, spec: BacktestSpec, run_id: RunId, record: DatasetRecord) -> EnginePlan:
    entry = exchange_info_symbol(spec.instrument)
    instrument = instrument_of(entry)
    limits = PROFILES[spec.risk.profile]
    balances = spec.account.starting_balances
    return EnginePlan(
        run_id=run_id,
        scenario=spec.strategy.name,
        scenario_version=spec.strategy.version,
        symbol=entry,
        bar_type=instrument.bar_type,
        bars_path=str(layout.dataset(DatasetId(record.name)) / "data" / "bars"),
        work_path=str(layout.work(run_id)),
        rows=record.rows,
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
