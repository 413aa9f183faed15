"""Hostile input on the venue's port does not stop the venue, make it grow, or reach its control socket."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.drivers.bystander import KINDS, Bystander, assert_serves_new_client, attacked
from tests.drivers.hostile_clients import ATTACKS, VenueAddress, streams_unread
from tests.drivers.venue_client import SteppedVenue

SLOW = ("ping-flood", "slow-heads", "slow-bodies")
"""They end with the venue's timeouts; they run at the same time."""
ALONE = ("requests-unread", "streams-unread")
"""The first takes 90 s and runs in `tests/breaking` only."""


@pytest.fixture(scope="module")
def under_attack(
    sample_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[VenueAddress, SteppedVenue, Bystander]]:
    with attacked(sample_home, tmp_path_factory.mktemp("under_attack")) as scene:
        yield scene


def attack(address: VenueAddress, name: str) -> None:
    run, count = ATTACKS[name]
    run(address, random.Random(name), count)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in (*SLOW, *ALONE)])
def test_a_correct_client_is_not_affected(
    under_attack: tuple[VenueAddress, SteppedVenue, Bystander], name: str
) -> None:
    address, venue, bystander = under_attack
    with bystander.during(name) as defects:
        attack(address, name)
        assert_serves_new_client(venue)
    assert defects == []


def test_slow_clients_are_reset(under_attack: tuple[VenueAddress, SteppedVenue, Bystander]) -> None:
    address, venue, bystander = under_attack
    with bystander.during(*SLOW) as defects:
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(attack, address, name) for name in SLOW]:
                done.result()
        assert_serves_new_client(venue)
    assert defects == []


def test_without_an_attack_nothing_is_counted(under_attack: tuple[VenueAddress, SteppedVenue, Bystander]) -> None:
    """Checks that the bystander finds missing counts, also when the counters were above zero before."""
    _, venue, bystander = under_attack
    for name, kinds in KINDS.items():
        with bystander.during(name) as defects:
            assert_serves_new_client(venue)
        assert defects == [f"not counted for {name}: {kind}" for kind in sorted(kinds)]


def test_memory_stays_bounded_with_many_clients_that_never_read(sample_home: Path, tmp_path: Path) -> None:
    with attacked(sample_home, tmp_path, at_full_speed=True) as (address, venue, _):
        before_kb = venue.memory_kb()
        streams_unread(address, random.Random(1), 60)
        assert venue.memory_kb("VmHWM") - before_kb < 200 << 10
        assert_serves_new_client(venue)
