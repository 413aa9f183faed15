"""The composition root of control: hands real clock, process table and folders to the features.

Importing it loads neither the engine nor pyarrow; what needs them is imported by the method that does.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from opslab.model.primitives.ids import DatasetId, RunId
from opslab.model.primitives.redact import PathRedactor
from opslab.settings import Settings, presence_in_process, resolve_for_process
from opslab.store.layout import Layout
from opslab.system import StopSignals, SystemClock, SystemProcesses, random_suffix

if TYPE_CHECKING:
    from opslab.datasets.catalog import FingerprintCheck
    from opslab.datasets.check import QualityReport
    from opslab.datasets.prepare import ImportOptions, PreparedDataset
    from opslab.datasets.sources.source import SourceOptions
    from opslab.errors import LabError
    from opslab.killswitch.switch import Change
    from opslab.model.checks.check_kind import CheckKind
    from opslab.model.checks.comparison import Comparison, InputPart
    from opslab.model.checks.connectivity import ProbeResult, ReadinessResult
    from opslab.model.market.dataset import DatasetRecord
    from opslab.model.market.instrument import Instrument
    from opslab.model.messages.venue_messages import VenueProgress
    from opslab.model.run.live_status import LiveStatus
    from opslab.model.run.manifest import Verification
    from opslab.model.run.metadata import Owner, RunMetadata
    from opslab.model.spec.run_spec import Mode
    from opslab.ports import Progress
    from opslab.reconciliation.result import Limits
    from opslab.runs.checks.check_results import RecordedCheck
    from opslab.runs.checks.connectivity import CheckOutcome
    from opslab.runs.checks.reconciliation import RecordedReconciliation
    from opslab.runs.comparison.reproduce import Reproduction
    from opslab.runs.context import Context
    from opslab.runs.lifecycle import RunContext
    from opslab.runs.planning.plan import BacktestPlan, PaperPlan, RunPlan
    from opslab.runs.processes.venue_service import VenueObserver, VenueOptions
    from opslab.runs.record.selection import Page, Selection
    from opslab.runs.recovery import Recovered
    from opslab.specs.load import LoadedSpec
    from opslab.venue.account.audit import Audit

INSTRUMENT = "BTCUSDT"


class Lab:
    """Operations of the commands, in one home."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.layout = Layout(settings.home)
        self._clock = SystemClock()
        self._processes = SystemProcesses(self._lives_elsewhere)

    def prepare(self, dataset: DatasetId) -> "PreparedDataset":
        from opslab.datasets.prepare import prepare_shipped

        return prepare_shipped(self.layout, dataset, _instrument(), self._clock)

    def import_candles(
        self, dataset: DatasetId, paths: Sequence[Path], tick: "Progress", options: "ImportOptions"
    ) -> "PreparedDataset":
        """tick: called with the rows of each batch."""
        from opslab.datasets.prepare import import_files

        return import_files(self.layout, dataset, paths, _instrument(), self._clock, tick, options)

    def check_files(self, paths: Sequence[Path], reading: "SourceOptions", tick: "Progress") -> "QualityReport":
        from opslab.datasets.check import check_files

        return check_files(paths, reading, _instrument(), tick)

    def check_dataset(self, dataset: DatasetId, tick: "Progress") -> "QualityReport":
        from opslab.datasets.check import check_dataset

        return check_dataset(self.layout, dataset, _instrument(), tick)

    def check_fingerprint(self, dataset: DatasetId, tick: "Progress") -> "FingerprintCheck":
        """tick: called with the rows of each batch."""
        from opslab.datasets.catalog import check_fingerprint

        return check_fingerprint(self.layout, dataset, tick)

    def dataset(self, dataset: DatasetId) -> "DatasetRecord":
        from opslab.datasets.dataset_records import read_record

        return read_record(self.layout, dataset)

    def datasets(self) -> "list[tuple[str, DatasetRecord | LabError]]":
        from opslab.datasets.dataset_records import list_datasets

        return list_datasets(self.layout)

    @overload
    def plan(self, spec_file: Path, run_id: str | None, mode: Literal["backtest"]) -> "BacktestPlan": ...
    @overload
    def plan(self, spec_file: Path, run_id: str | None, mode: Literal["paper"]) -> "PaperPlan": ...
    @overload
    def plan(self, spec_file: Path, run_id: str | None, mode: None = None) -> "RunPlan": ...
    def plan(self, spec_file: Path, run_id: str | None, mode: "Mode | None" = None) -> "RunPlan":
        """Every refusal happens here, before anything is written.

        mode: the one that the spec must have; None for either.
        """
        from opslab.runs.initialize import is_initialized
        from opslab.runs.planning.plan import made_run_id, other_mode, plan_run
        from opslab.specs.load import load_spec

        loaded = load_spec(spec_file)
        if mode is not None and mode != loaded.spec.mode:
            raise other_mode(loaded, mode)
        asked = run_id if run_id is not None else loaded.spec.run_id
        name = (
            RunId(asked) if asked is not None else made_run_id(self.layout, loaded.spec, self._clock, random_suffix())
        )
        is_initialized(self.layout, name, loaded.spec)
        return plan_run(self.layout, loaded, name, _folder_of(spec_file), self._clock)

    def initialize(self, plan: "RunPlan") -> "RunMetadata":
        """Create the run without starting it. Raises AlreadyExists, also for the same spec."""
        from opslab.runs.initialize import initialize

        return initialize(self.layout, plan, self._clock)

    def backtest(self, plan: "BacktestPlan", signals: StopSignals, on_bars: Callable[[int], None]) -> "RunMetadata":
        """on_bars: called with the number of bars so far."""
        from opslab.runs.backtest.run import run_backtest

        return run_backtest(plan, self._run_context(signals), on_bars)

    def paper(self, plan: "PaperPlan", signals: StopSignals, on_live: "Callable[[LiveStatus], None]") -> "RunMetadata":
        """on_live: called with the run's live values, about once a second."""
        from opslab.runs.paper.run import run_paper

        return run_paper(plan, self._run_context(signals), on_live)

    def reproduce(
        self,
        run_id: str,
        times: int,
        keep: bool,
        signals: StopSignals,
        on_bars: Callable[[int], None],
        announce: "Callable[[int, BacktestPlan, list[InputPart]], None]",
    ) -> "Reproduction":
        """announce: called before each run with its number, its plan and the changed inputs."""
        from opslab.runs.comparison.reproduce import reproduce

        (name,) = self.chosen(run_id)
        return reproduce(name, times, keep, self._run_context(signals), on_bars, announce)

    def compare(self, a: str, b: str) -> "Comparison":
        """Raises BadId, NotFound, Corrupt."""
        from opslab.runs.comparison.compare import compare

        (one,), (two,) = self.chosen(a), self.chosen(b)
        return compare(self._context(), one, two)

    instrument = INSTRUMENT

    def serve_venue(
        self, options: "VenueOptions", signals: StopSignals, observer: "VenueObserver"
    ) -> "VenueProgress | None":
        """Serve until a signal. Returns the last progress of the replay."""
        from opslab.runs.processes.venue_service import plan_venue, serve

        def on_signal(call: Callable[[int], None]) -> None:
            signals.on_signal = call
            if signals.count:
                call(signals.count)

        plan, resumes = plan_venue(self.layout, options, self._clock)
        return serve(plan, resumes, self._clock, on_signal, observer, self.redactor())

    def start_fault(self, venue: str, fault: str, terms: dict[str, str], seconds: float) -> dict[str, Any]:
        """Start a fault of a served venue; parameters as text. Raises Usage before any request to the venue."""
        from opslab.venue.faults.controller import parse_terms

        found: dict[str, Any] = self.venue_control(
            venue, "start", fault=fault, terms=parse_terms(fault, terms), seconds=seconds
        )
        return found

    def venue_control(self, name: str, do: str, **more: object) -> Any:
        """Send one command to the control socket of a served venue. Raises its refusal."""
        from opslab.runs.processes.venue_control_client import open_control

        with open_control(self.layout, name) as control:
            return control.request(do, **more)

    def faults(self) -> list[dict[str, Any]]:
        """All faults, ready for JSON."""
        from opslab.venue.faults.catalog import fault_catalog

        return fault_catalog()

    def audit_venue(self, name: str) -> "Audit":
        from opslab.runs.processes.venue_service import audit_venue

        return audit_venue(self.layout, name)

    def _run_context(self, signals: StopSignals) -> "RunContext":
        from opslab.runs.lifecycle import RunContext

        return RunContext(self.layout, self._clock, self._processes, self.redactor(), signals)

    def _context(self) -> "Context":
        from opslab.runs.context import Context

        return Context(self.layout, self._clock, self._processes, self.redactor())

    def runs(self, wanted: "Selection") -> "Page":
        from opslab.runs.record.registry import list_runs
        from opslab.runs.record.selection import select

        return select(list_runs(self._context()), wanted)

    def run(self, run_id: str) -> "tuple[RunMetadata, Path]":
        from opslab.runs.record.registry import show_run

        return show_run(self._context(), run_id)

    def live(self, run_id: str) -> "LiveStatus | None":
        """Live status of a running run."""
        from opslab.store.runs.live_files import read_live

        return read_live(self.layout, RunId(run_id))

    def seal(self, run_id: str) -> str | None:
        """Digest of a run's seal; None without a readable seal."""
        from opslab.errors import Corrupt
        from opslab.store.runs.seal import read_manifest

        try:
            manifest = read_manifest(self.layout.run(RunId(run_id)))
        except Corrupt:
            return None
        return manifest.seal if manifest else None

    def chosen(self, run_id: str | None) -> list[RunId]:
        """The named run, or all for None. Raises BadId or NotFound."""
        from opslab.store.runs.run_folders import run_folder, run_names

        if run_id is not None:
            return [RunId(run_folder(self.layout, run_id).name)]
        return [RunId(name) for name in run_names(self.layout)]

    def size_to_verify(self, runs: Sequence[RunId]) -> int:
        """Bytes."""
        from opslab.runs.record.verify import size_to_verify

        return sum(size_to_verify(self.layout, run_id) for run_id in runs)

    def verify(self, run_id: RunId, tick: Callable[[int], None]) -> "Verification":
        """tick: called with the bytes read since the last call. Raises OtherFormat."""
        from opslab.runs.record.verify import verify

        return verify(self._context(), run_id, tick)

    def verify_all(self, runs: Sequence[RunId], tick: Callable[[int], None]) -> "list[Verification]":
        """As `verify`; a run in another format is a finding."""
        from opslab.runs.record.verify import verify_one_of_many

        context = self._context()
        return [verify_one_of_many(context, run_id, tick) for run_id in runs]

    def recover(self, run_id: RunId, gone_host: str | None) -> "Recovered":
        """gone_host: a lost machine. Raises Environment when the owner lives, Corrupt when the run is broken."""
        from opslab.runs.recovery import recover

        return recover(self._context(), run_id, gone_host)

    def recover_all(self, gone_host: str | None) -> "list[tuple[Recovered, int]]":
        """Recover every run: the action, and the exit code of a single recovery."""
        from opslab.runs.recovery import try_to_recover

        context = self._context()
        return [try_to_recover(context, run_id, gone_host) for run_id in self.chosen(None)]

    def render(self, run_id: str) -> "RunMetadata":
        """Rewrite the derived files of a run. Raises BadId, NotFound, Environment, Corrupt."""
        from opslab.runs.render import render_run

        (name,) = self.chosen(run_id)
        return render_run(self._context(), name)

    def record_check(
        self, run_id: str, kind: "CheckKind", summary: Mapping[str, Any], document: Mapping[str, Any]
    ) -> "RecordedCheck":
        """Keep a check's result with a run. Raises BadId, NotFound, Corrupt, Environment, Unwritable."""
        from opslab.runs.checks.check_results import record_check

        return record_check(self._context(), RunId(run_id), kind, summary, document)

    def readiness(self, spec_file: Path, run_id: str | None) -> "CheckOutcome[ReadinessResult]":
        """Whether the variables that the spec names are set. No network."""
        from opslab.runs.checks.connectivity import check_readiness

        return check_readiness(self._context(), spec_file, run_id, presence_in_process)

    def probe(self, spec_file: Path, url: str, timeout_ms: int, run_id: str | None) -> "CheckOutcome[ProbeResult]":
        """One GET to a loopback URL. Raises Usage, and what concerns the run, before anything is sent."""
        from opslab.connectivity.addresses import system_resolve
        from opslab.model.primitives.loopback_url import LoopbackUrl
        from opslab.runs.checks.connectivity import check_probe

        return check_probe(self._context(), spec_file, LoopbackUrl(url), timeout_ms, run_id, system_resolve)

    def reconcile(self, run_id: str, expected: Path, observed: Path, limits: "Limits") -> "RecordedReconciliation":
        """Compare two snapshot files and keep the result with a run."""
        from opslab.runs.checks.reconciliation import reconcile_files

        return reconcile_files(self._context(), run_id, expected, observed, limits)

    def reconcile_heartbeat(self, run_id: str, seq: int | None, limits: "Limits") -> "RecordedReconciliation":
        """Reconcile a heartbeat of a paper run and keep the result. seq: None for the last one possible."""
        from opslab.runs.checks.heartbeat import reconcile_heartbeat

        return reconcile_heartbeat(self._context(), run_id, seq, limits)

    def activate_switch(self, run_id: RunId | None, reason: str, actor: str) -> "Change":
        """run_id: None for all runs. Raises Unwritable."""
        from opslab.killswitch.switch import activate

        return activate(self.layout, run_id, reason, actor, self._clock)

    def clear_switch(self, run_id: RunId | None, reason: str, actor: str) -> "Change":
        """run_id: None for all runs. Raises Refused, Environment, Unwritable."""
        from opslab.killswitch.switch import clear

        return clear(self.layout, run_id, reason, actor, self._clock)

    def record_switch_change(self, run_id: RunId | None, patience_seconds: float) -> list[str]:
        """Record the kill switch in the journals of unfinished runs. Returns notes."""
        from opslab.runs.safety.start_gate import record_switch_change

        return record_switch_change(self._context(), run_id, patience_seconds)

    def _lives_elsewhere(self, run_id: str, owner: "Owner", same_kernel: bool) -> bool:
        from opslab.runs.record.owners import lives_elsewhere

        return lives_elsewhere(self.layout, self._clock, RunId(run_id), owner, same_kernel)

    def redactor(self) -> PathRedactor:
        """Removes this machine's paths from texts: artifacts must not contain them."""
        known = {
            str(self.layout.home): "<home>",
            str(Path(__file__).parent): "opslab",
            sys.prefix: "<env>",
            sys.base_prefix: "<python>",
            str(Path("~").expanduser()): "~",
        }
        return PathRedactor(known, (path.name for path in Path("/").iterdir()))


def open_lab(home: str | None) -> Lab:
    """The lab for a command given `--home`."""
    return Lab(resolve_for_process(home))


def validate_spec(spec_file: Path) -> "tuple[LoadedSpec, list[str] | None]":
    """The spec, and the config keys of its user strategy; None for a scenario. Needs no home.

    Raises NotFound, Environment, or InvalidSpec with all mistakes, those of the strategy last.
    """
    from opslab.runs.planning.strategy_inspection import inspect_strategy
    from opslab.specs.load import load_spec

    loaded = load_spec(spec_file)
    found = inspect_strategy(loaded, _folder_of(spec_file), SystemClock())
    return loaded, list(found.keys) if found else None


def _folder_of(file: Path) -> Path:
    """Absolute, without `..`, links kept: the folder that a user strategy's modules are loaded from."""
    return Path(os.path.abspath(file)).parent  # noqa: PTH100  (`resolve` would follow symlinks)


def _instrument() -> "Instrument":
    from opslab.model.market.instrument import instrument_of
    from opslab.resources import exchange_info_symbol

    return instrument_of(exchange_info_symbol(INSTRUMENT))
