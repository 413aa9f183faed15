"""What an endpoint is: what it costs, who may ask, and what answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from opslab.venue.api_error import ApiError

Params = Mapping[str, str]
Security = Literal["none", "key", "signed"]
"""`key`: the API key alone; `signed`: key, time and signature."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`answer` takes the request's parameters and gives what is sent back, ready for JSON. It raises ApiError."""

    answer: Callable[[Params], Any]
    weight: int | Callable[[Params], int] = 1
    security: Security = "none"
    orders: int = 0
    """New orders that it counts as."""
    slow: bool = False
    """It takes the venue's latency, where one was asked for."""

    def cost(self, params: Params) -> int:
        return self.weight if isinstance(self.weight, int) else self.weight(params)


EndpointTable = Mapping[tuple[str, str], Endpoint]
"""(method, path) to endpoint."""


def parse_integer(params: Params, name: str, default: int, least: int, most: int) -> int:
    """A whole number within bounds. Raises ApiError."""
    text = params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError.malformed(name)
    if not least <= int(text) <= most:
        raise ApiError.invalid(name)
    return int(text)


def parse_optional_integer(params: Params, name: str) -> int | None:
    """Raises ApiError for what is no whole number."""
    return parse_integer(params, name, 0, 0, 10**18) if name in params else None
