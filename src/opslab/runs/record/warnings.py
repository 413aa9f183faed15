"""Warnings of a run, from its counts and its dataset."""

from collections.abc import Iterator, Sequence

from opslab.model.run.metadata import RunDataset
from opslab.model.run.paper_summary import PaperFacts
from opslab.model.run.refused_orders import Refusals, RefusedOrders
from opslab.model.run.unsent_orders import OrderCount, UnsentOrders
from opslab.model.run.warning import RunWarning, WarningCode

_MAX_NAMED = 20
"""Subscriptions that a warning names."""


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
            yield RunWarning.of(code, kind.count, kind.first, orders=f"{orders:,}", reasons=kind.text())


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
        found = dataset.allowed_findings
        rules = ", ".join(f"{rule} ({found[rule]:,})" if rule in found else rule for rule in dataset.allowed)
        yield RunWarning.of("dataset_allowed", sum(found.values()), record, rules=rules)


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


def forced_close_warnings(facts: PaperFacts) -> Iterator[RunWarning]:
    if facts.forced_closes:
        count = sum(facts.forced_closes.values())
        yield RunWarning.of("forced_close", count, facts.first_forced_close, kinds=facts.forced_closes_text)


def disturbance_warnings(facts: PaperFacts) -> Iterator[RunWarning]:
    """Lost and external orders, and injected faults, of a paper run."""
    if facts.orders_lost:
        yield RunWarning.of("orders_lost", facts.orders_lost, facts.first_lost_order)
    if facts.orders_external:
        fills = f"{facts.fills_external or 0:,}"
        yield RunWarning.of("external_orders", facts.orders_external, facts.first_external_order, fills=fills)
    if facts.faults_injected:
        names = ", ".join(dict.fromkeys(fault.name for fault in facts.faults))
        first = f"{facts.faults[0].name} at {facts.faults[0].started_at}" if facts.faults else None
        yield RunWarning.of("faults_injected", facts.faults_injected, first, names=names)
