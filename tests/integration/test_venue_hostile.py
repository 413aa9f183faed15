"""Hostile input on the venue's port: nothing stops it, makes it grow, or reaches what is not meant for clients."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.drivers.bystander import KINDS, MonitorActor, attacked, newcomer
from tests.drivers.hostile_clients import ATTACKS, Place, streams_unread
from tests.drivers.venue_client import VenueChild

SLOW = ("ping-flood", "slow-heads", "slow-bodies")
"""Over when the venue has lost its patience, all at the same time."""
ALONE = ("requests-unread", "streams-unread")
"""The first takes 90 s and is left to the breaking program."""


@pytest.fixture(scope="module")
def besieged(
    sample_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, VenueChild, MonitorActor]]:
    with attacked(sample_home, tmp_path_factory.mktemp("besieged")) as found:
        yield found


def attack(at: Place, name: str) -> None:
    run, count = ATTACKS[name]
    run(at, random.Random(name), count)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in (*SLOW, *ALONE)])
def test_who_uses_it_as_intended_does_not_notice(besieged: tuple[Place, VenueChild, MonitorActor], name: str) -> None:
    at, venue, onlooker = besieged
    with onlooker.beside(name) as complaints:
        attack(at, name)
        newcomer(venue)
    assert complaints == []


def test_who_is_slow_is_cut(besieged: tuple[Place, VenueChild, MonitorActor]) -> None:
    at, venue, onlooker = besieged
    with onlooker.beside(*SLOW) as complaints:
        with ThreadPoolExecutor() as pool:
            for done in [pool.submit(attack, at, name) for name in SLOW]:
                done.result()
        newcomer(venue)
    assert complaints == []


def test_without_an_attack_nothing_is_counted(besieged: tuple[Place, VenueChild, MonitorActor]) -> None:
    """Whatever was counted before: the onlooker does complain."""
    _, venue, onlooker = besieged
    for name, kinds in KINDS.items():
        with onlooker.beside(name) as complaints:
            newcomer(venue)
        assert complaints == [f"not counted of {name}: {kind}" for kind in sorted(kinds)]


def test_many_who_never_read_hold_no_more_than_a_few(sample_home: Path, tmp_path: Path) -> None:
    with attacked(sample_home, tmp_path, at_full_speed=True) as (at, venue, _):
        before_kb = venue.memory_kb()
        streams_unread(at, random.Random(1), 60)
        assert venue.memory_kb("VmHWM") - before_kb < 200 << 10
        newcomer(venue)
