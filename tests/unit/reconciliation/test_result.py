"""The result of findings."""

from itertools import product
from typing import get_args

import pytest

from opslab.errors import Usage
from opslab.reconciliation.limits import limits_of
from opslab.reconciliation.result import (
    DEFAULT_TOLERANCES,
    EXIT_CODES,
    MAX_FINDINGS,
    STATE_OF,
    WORST_FIRST,
    Reason,
    ReconciliationResult,
    State,
    make_finding,
    worst,
)
from tests.fakes.snapshot_documents import compare_documents, complete_document, conclude_findings, document_with


def test_every_reason_has_a_state_and_every_state_an_exit_code() -> None:
    assert set(STATE_OF) == set(get_args(Reason))
    assert set(STATE_OF.values()) == set(get_args(State)) == set(EXIT_CODES) == set(WORST_FIRST)


def test_the_worst_state_wins_and_no_finding_is_unknown() -> None:
    assert worst([]) == "unknown"
    for states in product(get_args(State), repeat=3):
        assert worst(states) == min(states, key=WORST_FIRST.index)


def test_findings_are_listed_worst_first_up_to_a_bound_and_all_counted() -> None:
    many = [make_finding("differs", "open_orders", f"id-{n}", "price", "1", "2") for n in range(MAX_FINDINGS + 50)]
    fine = [make_finding("equal", "positions", "BTCUSDT", "signed_quantity", "0", "0")]
    result = conclude_findings([*fine, *many])
    assert len(result.findings) == MAX_FINDINGS
    assert result.counts == {"mismatch": MAX_FINDINGS + 50, "unknown": 0, "warning": 0, "ok": 1}
    assert {finding.state for finding in result.findings} == {"mismatch"}


def test_a_result_survives_its_own_document() -> None:
    result = conclude_findings(
        compare_documents(complete_document(), document_with(("positions", 0, "signed_quantity"), "0.1"))
    )
    assert ReconciliationResult.model_validate_json(result.model_dump_json()) == result
    assert result.model_dump(mode="json")["limits"]["tolerances"] == DEFAULT_TOLERANCES
    summary = result.event().payload()
    assert (summary["state"], summary["mismatch"]) == ("mismatch", 1)
    assert all(value is None or isinstance(value, (str, int)) for value in summary.values())


def test_tolerances_are_given_by_field() -> None:
    limits = limits_of(5, 6, ["free=0.50", "total=0"])
    document = limits.model_dump(mode="json")
    assert document["tolerances"] == {**DEFAULT_TOLERANCES, "free": "0.5", "total": "0"}
    assert (limits.max_age_seconds, limits.max_apart_seconds) == (5, 6)


@pytest.mark.parametrize(
    "given", ["free", "free=", "free=-1", "free=NaN", "free=1E+999999", "=1", "quantity=1", "fre=1", "Free=1"]
)
def test_other_tolerances_are_refused(given: str) -> None:
    with pytest.raises(Usage):
        limits_of(5, 6, [given])
    with pytest.raises(Usage):
        limits_of(5, 6, ["free=1", "free=1"])
