"""What operations need from their environment, in one value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opslab.store.layout import Layout

if TYPE_CHECKING:  # loading them needs the models, and neither the kill switch nor a list of runs does
    from opslab.ports import Clock, Processes


@dataclass(frozen=True, slots=True)
class Context:
    layout: Layout
    clock: "Clock"
    processes: "Processes"
    redact: Callable[[str], str]
    """Removes this machine's paths from a text: artifacts must not contain them."""
