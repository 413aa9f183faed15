"""An endpoint: its weight, its security level and the function that answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opslab.venue.api_error import ApiError

Params = Mapping[str, str]
Security = Literal["none", "key", "signed"]
"""`key`: the API key alone; `signed`: key, timestamp and signature."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`answer` takes the request's parameters and returns the answer, ready for JSON. It raises ApiError."""

    answer: Callable[[Params], Any]
    weight: int | Callable[[Params], int] = 1
    security: Security = "none"
    orders: int = 0
    """The number of new orders it counts as."""
    slow: bool = False
    """Whether the venue's order latency applies to it."""

    def cost(self, params: Params) -> int:
        """The request weight."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)


EndpointTable = Mapping[tuple[str, str], Endpoint]
"""(method, path) to endpoint."""


def parse_integer(params: Params, name: str, default: int, minimum: int, maximum: int) -> int:
    """An integer within bounds, both included. Raises ApiError."""
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError.malformed(name)
    if not minimum <= int(text) <= maximum:
        raise ApiError.invalid(name)
    return int(text)


def parse_optional_integer(params: Params, name: str) -> int | None:
    """None when the parameter is absent. Raises ApiError when it is not an integer."""
    return parse_integer(params, name, 0, 0, 10**18) if name in params else None
