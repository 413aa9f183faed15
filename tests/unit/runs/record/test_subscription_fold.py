"""Subscriptions that were not served, over all engines of a run."""

from opslab.model.journal.engine_events import SubscriptionUnserved
from opslab.model.run.subscription import Subscription
from opslab.runs.record.subscription_fold import SubscriptionFold


def counts(**received: int) -> tuple[Subscription, ...]:
    return tuple(Subscription(kind=kind, subject="X", count=count) for kind, count in received.items())


def test_what_one_engine_received_is_not_empty_for_the_run() -> None:
    fold = SubscriptionFold()
    fold.engine_ended(counts(quotes=0, trades=0))
    fold.engine_ended(counts(quotes=3, trades=0))
    assert fold.names() == {"empty": ("trades X",), "untruthful": ()}


def test_of_a_lost_engine_only_what_was_known_at_the_subscription_is_named() -> None:
    fold = SubscriptionFold()
    fold.unserved(SubscriptionUnserved(code="subscription_empty", kind="bars", subject="X"))
    fold.unserved(SubscriptionUnserved(code="subscription_untruthful", kind="bars", subject="Y"))
    fold.engine_lost()
    fold.engine_ended(counts(quotes=0))
    assert fold.names() == {"empty": ("bars X",), "untruthful": ("bars Y",)}


def test_what_was_received_overrules_what_was_expected() -> None:
    fold = SubscriptionFold()
    fold.unserved(SubscriptionUnserved(code="subscription_empty", kind="bars", subject="X"))
    fold.engine_ended(counts(bars=1))
    assert fold.names()["empty"] == ()
