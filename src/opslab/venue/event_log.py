"""How the venue says what an operator may want to know."""

from collections.abc import Callable

EventLogger = Callable[[str, dict[str, object]], None]
"""Called with what happened, and more about it."""
