"""How a paper run's strategy was subscribed to the run's bars, by the reports of its engines in the journal."""

from pathlib import Path
from typing import Literal

from pydantic_core import from_json

from opslab.model.run.subscription import Subscription
from opslab.store.runs.journal import read_bodies

BarSubscription = Literal["whole", "partial", "none"]
"""For the whole run; for a part of it, because the strategy subscribed later or unsubscribed; never."""


def bar_subscription(folder: Path, bar_type: str) -> BarSubscription | None:
    """folder: of the run. None: an engine was lost, or did not report its subscriptions. Raises Corrupt."""
    reports = [_subscriptions(body) for _, body in read_bodies(folder, ("engine_ended", "engine_lost"))]
    if not reports or not all(reports):
        return None
    own = [[each for each in report if (each.kind, each.subject) == ("bars", bar_type)] for report in reports]
    if not any(own):
        return "none"
    return "whole" if all(report and not report[0].partial for report in own) else "partial"


def _subscriptions(body: bytes) -> list[Subscription]:
    """body: event and payload of an engine's end."""
    return [Subscription.model_validate(each) for each in from_json(body)["payload"].get("subscriptions") or ()]
