"""The subscriptions of a run's strategy that were not served, from its events and from what its engines received."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

from opslab.model.journal.engine_events import SubscriptionUnserved
from opslab.model.run.subscription import Subscription, SubscriptionCode


class SubscriptionNames(TypedDict):
    empty: tuple[str, ...]
    """They received nothing."""
    untruthful: tuple[str, ...]
    """They received bars that do not follow the market's clock."""


@dataclass(slots=True)
class SubscriptionFold:
    """The counts of a lost engine are unknown: then only what was known at the subscription is named."""

    is_counted: bool = True
    """Whether the counts of every engine are known."""
    _unserved: dict[tuple[str, str], SubscriptionCode] = field(default_factory=dict)
    """By kind and subject; the next too."""
    _received: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of messages."""

    def unserved(self, event: SubscriptionUnserved) -> None:
        self._unserved[event.kind, event.subject] = event.code

    def engine_ended(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            self._received[subscription.kind, subscription.subject] += subscription.count

    def engine_lost(self) -> None:
        self.is_counted = False

    def names(self) -> SubscriptionNames:
        """Each as `kind subject`, first those known at the subscription."""
        return SubscriptionNames(
            empty=self._named("subscription_empty"), untruthful=self._named("subscription_untruthful")
        )

    def _named(self, code: SubscriptionCode) -> tuple[str, ...]:
        keys = [key for key, its_code in self._unserved.items() if its_code == code]
        if code == "subscription_empty":
            keys = [key for key in keys if not self._received[key]]  # the count overrules the event
            if self.is_counted:
                keys += [key for key, count in self._received.items() if not count and key not in self._unserved]
        return tuple(f"{kind} {subject}" for kind, subject in keys)
