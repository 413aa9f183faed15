"""The type of the function that writes an event into the venue's event log."""

from collections.abc import Callable

EventLogger = Callable[[str, dict[str, object]], None]
"""Called with the event's name and its fields."""
