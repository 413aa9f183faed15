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
    _unserved: dict[tuple[str, str], SubscriptionCode] = field(default_factory=dict)
    _received: Counter[tuple[str, str]] = field(default_factory=Counter)

    def unserved(self, event: SubscriptionUnserved) -> None:
        self._unserved[event.kind, event.subject] = event.code

    def engine_ended(self, subscriptions: Iterable[Subscription]) -> None:
        for one in subscriptions:
            self._received[one.kind, one.subject] += one.count

    def engine_lost(self) -> None:
        self.is_counted = False

    def names(self) -> SubscriptionNames:
        """Each as `kind subject`, first those known at the subscription."""
        return SubscriptionNames(
            empty=self._named("subscription_empty"), untruthful=self._named("subscription_untruthful")
        )

    def _named(self, code: SubscriptionCode) -> tuple[str, ...]:
        found = [key for key, known in self._unserved.items() if known == code]
        if code == "subscription_empty":  # what a strategy received overrules what was known before
            found = [key for key in found if not self._received[key]]
            if self.is_counted:
                found += [key for key, count in self._received.items() if not count and key not in self._unserved]
        return tuple(f"{kind} {subject}" for kind, subject in found)
