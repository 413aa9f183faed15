"""Warnings of a run, from its counts and its dataset."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from opslab.model.journal.run_events import RunResults
from opslab.model.run.engine_log import LogFacts
from opslab.model.run.metadata import RunDataset
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.run.refused_orders import Refusals, RefusedOrders, RefusedRequests
from opslab.model.run.unsent_orders import OrderCount, UnsentOrders
from opslab.model.run.warning import RunWarning, WarningCode

_MAX_NAMED = 20
"""Number of subscriptions that a warning names."""
_MAX_ERROR_KINDS = 3
"""Number of kinds of errors that a warning names."""


def order_warnings(refused: RefusedOrders) -> Iterator[RunWarning]:
    """The warnings of orders that were denied or rejected. When all were, that is the only one."""
    if not refused.all.count:
        return
    if refused.all.count == refused.orders:
        yield RunWarning.of("orders_refused", refused.orders, refused.all.first, reasons=refused.all.text())
        return
    kinds: tuple[tuple[WarningCode, Refusals, int], ...] = (
        ("protective_orders_refused", refused.protective, refused.protective_orders),
        ("orders_rejected", refused.rejected, refused.orders),
        ("orders_denied", refused.denied, refused.orders),
    )
    for code, kind, orders in kinds:
        if kind.count:
            yield RunWarning.of(code, kind.count, kind.first, orders=orders, reasons=kind.text())


def request_warnings(requests: RefusedRequests) -> Iterator[RunWarning]:
    kinds: tuple[tuple[WarningCode, Refusals], ...] = (
        ("cancels_rejected", requests.cancels),
        ("modifications_rejected", requests.modifications),
    )
    for code, kind in kinds:
        if kind.count:
            yield RunWarning.of(code, kind.count, kind.first, reasons=kind.text())


def emulated_order_warnings(unsent: UnsentOrders) -> Iterator[RunWarning]:
    """Of a backtest, in which the engine has nothing to trigger an emulated order with."""
    if unsent.emulated.count and not unsent.released:
        yield RunWarning.of("orders_not_released", unsent.emulated.count, unsent.emulated.first)


def unsubmitted_order_warnings(orders: OrderCount) -> Iterator[RunWarning]:
    """orders: never submitted, as those for an execution algorithm that the node does not have."""
    if orders.count:
        yield RunWarning.of("orders_not_submitted", orders.count, orders.first)


def dataset_warnings(dataset: RunDataset | None) -> Iterator[RunWarning]:
    """None: the run has no dataset yet."""
    if dataset is None:
        return
    record = f"data/datasets/{dataset.name}/dataset.json"
    if dataset.market == "spot":
        yield RunWarning.of("dataset_spot", dataset.rows, record)
    if dataset.rounded:
        yield RunWarning.of("dataset_rounded", dataset.rounded, record)
    if dataset.allowed:
        findings = dataset.allowed_findings
        rules = ", ".join(f"{rule} ({findings[rule]:,})" if rule in findings else rule for rule in dataset.allowed)
        yield RunWarning.of("dataset_allowed", sum(findings.values()), record, rules=rules)


def subscription_warnings(empty: Sequence[str], untruthful: Sequence[str]) -> Iterator[RunWarning]:
    """The subscriptions of a strategy that received nothing, and those with bars not of the market's clock."""
    kinds: tuple[tuple[WarningCode, Sequence[str]], ...] = (
        ("subscription_empty", empty),
        ("subscription_untruthful", untruthful),
    )
    for code, names in kinds:
        if names:
            yield RunWarning.of(code, len(names), names[0], subscriptions=", ".join(names[:_MAX_NAMED]))


def bar_warnings(missed: int | None) -> Iterator[RunWarning]:
    """missed: bars of a paper run that no engine received; None: unknown."""
    if missed:
        yield RunWarning.of("bars_missed", missed, None)


def account_warnings(facts: PaperFacts) -> Iterator[RunWarning]:
    """What the exchange did to the account of a paper run."""
    if facts.forced_closes:
        count = sum(facts.forced_closes.values())
        yield RunWarning.of("forced_close", count, facts.first_forced_close, kinds=facts.forced_closes_text)
    if facts.margin_calls:
        yield RunWarning.of("margin_call", facts.margin_calls, f"margin_call at {facts.first_margin_call}")


def disturbance_warnings(facts: PaperFacts) -> Iterator[RunWarning]:
    """Lost and external orders, and injected faults, of a paper run."""
    if facts.orders_lost:
        yield RunWarning.of("orders_lost", facts.orders_lost, facts.first_lost_order)
    if facts.orders_external:
        fills = facts.fills_external or 0
        yield RunWarning.of("external_orders", facts.orders_external, facts.first_external_order, fills=fills)
    if facts.faults_injected:
        names = ", ".join(dict.fromkeys(fault.name for fault in facts.faults))
        first = f"{facts.faults[0].name} at {facts.faults[0].started_at}" if facts.faults else None
        yield RunWarning.of("faults_injected", facts.faults_injected, first, names=names)


def unanswered_order_warnings(statuses: Mapping[str, str]) -> Iterator[RunWarning]:
    """statuses: client order id to status, of the orders of a completed backtest that got no answer, in order."""
    if statuses:
        counts = Counter(statuses.values())
        reasons = ", ".join(f"{status} ({count:,})" for status, count in counts.most_common())
        yield RunWarning.of("orders_unanswered", len(statuses), next(iter(statuses)), reasons=reasons)


def log_warnings(log: LogFacts) -> Iterator[RunWarning]:
    """Skipped fills, which only the engine's log reports; errors of engine and strategy; a log that is not whole."""
    if log.orders_skipped:
        skipped = Refusals(log.orders_skipped)
        count = sum(log.orders_skipped.values())
        yield RunWarning.of("orders_skipped", count, log.first_order_skipped, reasons=skipped.text())
    errors = [kind for kind in log.kinds if kind.level == "ERROR"]
    if errors:
        shown = [f"{kind.component}: {kind.message} ({kind.count:,})" for kind in errors[:_MAX_ERROR_KINDS]]
        others = len(errors) - _MAX_ERROR_KINDS
        omitted = [f"and {others} other {'kind' if others == 1 else 'kinds'}"] if others > 0 else []
        first = min(errors, key=lambda kind: kind.first)
        location = f"{first.file} at {first.first}"
        yield RunWarning.of("log_errors", log.lines["ERROR"], location, reasons="; ".join(shown + omitted))
    if log.omitted_bytes:
        yield RunWarning.of("log_omitted", log.omitted_bytes, None)


def without_results(dataset: RunDataset | None, log: LogFacts) -> RunResults:
    """The results for the closing event of a run whose control failed or died before it had any."""
    return RunResults(warnings=(*log_warnings(log), *dataset_warnings(dataset)), log=log)
