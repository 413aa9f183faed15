"""Warnings from counts and dataset: which code, which count, which first case."""

from pathlib import Path
from typing import Any, get_args

import pytest

from opslab.model.run.engine_log import LogFacts, LogKind
from opslab.model.run.paper_summary import FaultFacts
from opslab.model.run.refused_orders import MAX_REASONS, RefusedOrders, without_values
from opslab.model.run.warning import WarningCode
from opslab.runs.record.warnings import (
    bar_warnings,
    dataset_warnings,
    disturbance_warnings,
    log_warnings,
    order_warnings,
    unanswered_order_warnings,
)
from tests.fakes.journal_events import AT, DATASET, PAPER

ROOT = Path(__file__).parents[4]
MARGIN = {"status": "DENIED", "reason": "MARGIN: free=1"}
CROSSED = {"status": "REJECTED", "reason": "order O-1 at 100.10 would cross"}


def folded(*orders: dict[str, Any]) -> RefusedOrders:
    """Orders with the fields of a row; those with a status DENIED or REJECTED are refused."""
    refused = RefusedOrders()
    for number, fields in enumerate(orders):
        row = {"client_order_id": f"O-{number}", "type": "LIMIT", "is_reduce_only": False, "status": "FILLED", **fields}
        refused.created(row)
        if "reason" in row:
            refused.refused(row)
    return refused


def codes(*orders: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    return [(one.code, one.count, one.first) for one in order_warnings(folded(*orders))]


def test_orders_that_were_all_accepted_are_no_warning() -> None:
    assert codes() == codes({}, {}) == []


def test_a_run_whose_every_order_was_refused_has_one_warning_with_the_reasons() -> None:
    (warning,) = order_warnings(folded(CROSSED, MARGIN, MARGIN))
    assert (warning.code, warning.count, warning.first) == ("orders_refused", 3, "O-0")
    assert warning.text == "every order was denied or rejected: MARGIN (2), order # at # would cross (1)"


def test_rejected_and_denied_orders_are_counted_apart() -> None:
    assert codes({}, CROSSED, MARGIN, CROSSED) == [("orders_rejected", 2, "O-1"), ("orders_denied", 1, "O-2")]


@pytest.mark.parametrize(
    "protective", [{"is_reduce_only": True}, {"type": "STOP_MARKET"}, {"type": "TRAILING_STOP_MARKET"}]
)
def test_a_refused_protective_order_is_named(protective: dict[str, Any]) -> None:
    assert codes({}, protective, {**CROSSED, **protective}) == [
        ("protective_orders_refused", 1, "O-2"),
        ("orders_rejected", 1, "O-2"),
    ]


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("POST_ONLY order px of 100.00 would be a TAKER: ask=99", "POST_ONLY order px of # would be a TAKER: ask=#"),
        ("error -2021: Order would trigger.", "error -2021: Order would trigger."),
        ("-2019", "-2019"),
    ],
)
def test_a_reason_is_counted_without_its_values_and_with_its_code(reason: str, counted: str) -> None:
    assert without_values(reason) == counted


def test_the_number_of_reasons_is_bounded() -> None:
    refused = folded(*({"status": "REJECTED", "reason": "x" * length} for length in range(1, 100)))
    assert len(refused.rejected.reasons) == MAX_REASONS + 1
    assert sum(refused.rejected.reasons.values()) == refused.rejected.count == 99


def test_a_dataset_with_errors_that_were_allowed_and_of_the_spot_market_is_named() -> None:
    assert list(dataset_warnings(None)) == list(dataset_warnings(DATASET.model_copy(update={"allowed": ()}))) == []
    used = DATASET.model_copy(
        update={"allowed": ("gap",), "allowed_findings": {"gap": 3}, "market": "spot", "rounded": 7}
    )
    found = {one.code: one for one in dataset_warnings(used)}
    assert {code: one.count for code, one in found.items()} == {
        "dataset_spot": used.rows,
        "dataset_rounded": 7,
        "dataset_allowed": 3,
    }
    assert found["dataset_allowed"].text.endswith("gap (3)")
    assert {one.first for one in found.values()} == {f"data/datasets/{used.name}/dataset.json"}


def test_missed_bars_are_a_warning_when_their_number_is_known() -> None:
    assert list(bar_warnings(None)) == list(bar_warnings(0)) == []
    assert [(one.code, one.count) for one in bar_warnings(2)] == [("bars_missed", 2)]


def test_external_orders_and_injected_faults_are_warnings_with_their_first_case() -> None:
    assert list(disturbance_warnings(PAPER)) == []
    faults = tuple(FaultFacts(name=name, terms={}, started_at=AT) for name in ("delay", "drop", "delay"))
    lost = {"orders_lost": 5, "first_lost_order": "O-3"}
    external = {"orders_external": 2, "fills_external": 3, "first_external_order": "venue_7"}
    facts = PAPER.model_copy(update={**lost, **external, "faults_injected": 4, "faults": faults})
    missing, orders, injected = disturbance_warnings(facts)
    assert (missing.code, missing.count, missing.first) == ("orders_lost", 5, "O-3")
    assert (orders.code, orders.count, orders.first) == ("external_orders", 2, "venue_7")
    assert "3 fills" in orders.text
    assert (injected.code, injected.count, injected.first) == ("faults_injected", 4, f"delay at {AT}")
    assert injected.text.endswith(": delay, drop")


def test_skipped_orders_errors_and_omitted_bytes_of_the_log_are_warnings() -> None:
    clean = LogFacts(level="warning", lines={"WARN": 3}, kinds=())
    assert list(log_warnings(clean)) == []
    kinds = tuple(
        LogKind(level="ERROR", component=name, message="m", count=2, file="logs/engine-2.log", first=AT, last=AT)
        for name in "abcde"
    )
    facts = {"lines": {"ERROR": 10}, "kinds": kinds, "omitted_bytes": 5}
    log = clean.model_copy(update={**facts, "orders_skipped": {"off": 7}, "first_order_skipped": "O-1"})
    skipped, errors, omitted = log_warnings(log)
    assert (skipped.code, skipped.count, skipped.first) == ("orders_skipped", 7, "O-1")
    assert skipped.text.endswith(": off (7)")
    assert (errors.code, errors.count, errors.first) == ("log_errors", 10, f"logs/engine-2.log at {AT}")
    assert errors.text.endswith(": a: m (2); b: m (2); c: m (2); and 2 other kinds")
    assert (omitted.code, omitted.count) == ("log_omitted", 5)


def test_orders_that_got_no_answer_are_a_warning_with_their_statuses() -> None:
    assert list(unanswered_order_warnings({})) == []
    (warning,) = unanswered_order_warnings({"O-1": "SUBMITTED", "O-2": "SUBMITTED"})
    assert (warning.code, warning.count, warning.first) == ("orders_unanswered", 2, "O-1")
    assert warning.text.endswith(": SUBMITTED (2)")


def test_every_code_is_documented() -> None:
    page = (ROOT / "docs" / "run.md").read_text(encoding="utf-8")
    assert [code for code in get_args(WarningCode) if f"| `{code}` |" not in page] == []
