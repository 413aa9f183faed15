"""Market data to which a strategy subscribed or which it requested, and whether the run can serve them."""

from typing import Literal

from opslab.model.primitives.record import Record

SubscriptionCode = Literal["subscription_empty", "subscription_untruthful"]
"""Receives nothing; receives data that are not those of the market."""


class Subscription(Record):
    """Market data to which a strategy subscribed or which it requested."""

    kind: str
    """As in the engine's method `subscribe_<kind>`; of a request the name of the method, such as `request_bars`."""
    subject: str
    """The bar type, the instrument, or the type of the data."""
    count: int
    """Number of items that the strategy received."""
    partial: bool = False
    """Of bars in a paper run: whether the strategy subscribed after the first bar, or unsubscribed before the end."""
