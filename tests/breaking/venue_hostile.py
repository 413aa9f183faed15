"""Thousands of hostile requests on the venue's port, while a well-behaved client must not be affected."""

import random
import resource
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial

from tests.breaking.context import ExperimentContext
from tests.breaking.trial import Attempt, Trial
from tests.drivers.bystander import assert_serves_new_client, attacked
from tests.drivers.hostile_clients import ATTACKS
from tests.drivers.venue_process import SAMPLE

ROUNDS = 3
FULL = ROUNDS * len(ATTACKS)
FACTOR = 10
"""Factor for cheap attacks, relative to their number in a test."""
CROWD_SIZE = 4_000
AT_FULL_SPEED = ("streams-unread",)
UNSCALED = (
    "huge-headers",
    "huge-bodies",
    "streams-unread",
    "slow-heads",
    "slow-bodies",
    "ping-flood",
    "many-sockets",
)
_LIMIT_SECONDS = 900.0


def attempts(context: ExperimentContext) -> Iterator[Attempt]:
    context.prepare_dataset(SAMPLE)
    names = list(ATTACKS)
    for number in range(context.trial_count(FULL)):
        name = names[number % len(names)]
        yield Attempt(f"venue-hostile-{number}-{name}", partial(_attack, context=context, name=name), _LIMIT_SECONDS)


def _attack(trial: Trial, context: ExperimentContext, name: str) -> None:
    run, count = ATTACKS[name]
    if name == "many-connections":
        count = CROWD_SIZE
        _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard_limit, CROWD_SIZE + 200), hard_limit))
    elif name not in UNSCALED:
        count *= FACTOR
    at_full_speed = name in AT_FULL_SPEED
    with attacked(context.candles, trial.folder, at_full_speed=at_full_speed) as (address, venue, bystander):
        # at full speed the bystander does not read in time either
        with nullcontext(list[str]()) if at_full_speed else bystander.during(name) as complaints:
            started_s = time.monotonic()
            run(address, random.Random(trial.rng.randrange(1 << 30)), count)
            trial.observe(name, f"within {10 * (int((time.monotonic() - started_s) / 10) + 1)} s")
            assert_serves_new_client(venue)
        for complaint in complaints:
            trial.claim(False, complaint)
        trial.observe("peak", f"below {16 * (venue.memory_kb('VmHWM') // (16 << 10) + 1)} MB")
        venue.stop()
        audit_result = venue.audit()
        trial.claim(
            audit_result.proven, f"audit of the ledger: {[finding.text() for finding in audit_result.findings]}"
        )
