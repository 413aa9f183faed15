"""Which tests run on one worker, one after the other, and which begin first, when the suite has several workers.

A module is one group, so that what its fixtures make is made once. The tests of `ONE_BY_ONE` need nothing of each other
and go to whoever is free. The time of a run is that of the longest group at least, so the long ones begin first.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

LONG_FIRST = (
    "test_breaking",
    "test_docs",
    "test_drills",
    "test_drills_can_fail",
    "test_halt",
    "test_sessions",
    "test_paper_faults",
    "test_paper_parity",
    "test_venue_orphan",
    "test_faults_seen",
    "test_live_node",
    "test_paper",
    "test_observability_chain",
    "test_observability_alerts",
    "test_paper_recovery",
    "test_paper_restart",
    "test_reworded",
    "test_reproduce",
    "test_dashboard_queries",
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
        "test_drills",
        "test_drills_can_fail",
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
_CALL = re.compile(r"test_every_claim_holds\[(call-\d+)-")


class ModuleScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Of pytest-xdist, with the groups of this module: its own `xdist_group` has no effect with pytest 9.2."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Tests of one group run on one worker, in their order."""
    file, _, test = nodeid.partition("::")
    call = _CALL.match(test)
    if call:
        return f"{file}::{call[1]}"
    return nodeid if _module(nodeid) in ONE_BY_ONE else file


def order(items: list[pytest.Item]) -> None:
    """Give the long ones the first places; those of a module keep their order."""
    items.sort(key=lambda item: _place(_module(item.nodeid), LONG_FIRST))


def _module(nodeid: str) -> str:
    return PurePosixPath(nodeid.partition("::")[0]).stem


def _place(module: str, modules: Sequence[str]) -> int:
    return modules.index(module) if module in modules else len(modules)
