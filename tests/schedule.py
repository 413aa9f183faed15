"""Which tests run on one worker, one after the other, and which begin first, when the suite has several workers.

A module is one group, so that what its fixtures make is made once. The tests of `ONE_BY_ONE` need nothing of each other
and go to whoever is free. The time of a run is that of the longest group at least, so the long ones begin first.
"""

from collections.abc import Sequence

import pytest

LONG_FIRST = (
    "test_breaking",
    "test_docs",
    "test_halt",
    "test_sessions",
    "test_paper_faults",
    "test_paper_parity",
    "test_venue_orphan",
    "test_faults_seen",
    "test_live_node",
    "test_paper",
    "test_paper_recovery",
    "test_paper_restart",
    "test_reworded",
    "test_reproduce",
    "test_wheel",
    "test_bootstrap",
    "test_venue_hostile",
    "test_kill_switch",
    "test_own_strategies_bad",
    "test_backtest",
    "test_seal",
)
"""Modules, the longest first; the others follow as they are collected."""
ONE_BY_ONE = frozenset(
    {
        "test_backtest",
        "test_compare",
        "test_docs",
        "test_engine_failures",
        "test_halt",
        "test_kill_switch",
        "test_live_node",
        "test_own_strategies",
        "test_own_strategies_bad",
        "test_paper",
        "test_paper_faults",
        "test_paper_parity",
        "test_paper_plan",
        "test_paper_recovery",
        "test_paper_restart",
        "test_paper_strategies",
        "test_reproduce",
        "test_reworded",
        "test_run_venue",
        "test_seal",
        "test_sessions",
        "test_venue_orphan",
    }
)
"""Modules without a fixture of their own that takes long."""


def arrange(items: list[pytest.Item], longest_first: bool) -> None:
    """Give tests their groups, and the long ones the first places; those of a module keep their order."""
    for item in items:
        if _module(item) not in ONE_BY_ONE and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_module(item)))
    if longest_first:
        items.sort(key=lambda item: _place(_module(item), LONG_FIRST))


def _module(item: pytest.Item) -> str:
    return item.path.stem


def _place(module: str, order: Sequence[str]) -> int:
    return order.index(module) if module in order else len(order)
