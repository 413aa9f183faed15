"""One request on its way in, over HTTP or a socket: limits, key, time, signature, then the answer."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opslab.model.messages.venue_messages import VenueKey
from opslab.venue.api_error import ApiError
from opslab.venue.counters import Tally
from opslab.venue.event_log import Say
from opslab.venue.fault_hooks import Call, Seams
from opslab.venue.transport.endpoint import Endpoint
from opslab.venue.transport.rate_limits import Limiter
from opslab.venue.transport.signing import check_key, check_signature, check_time


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request gives to say who it is from."""

    address: str
    api_key: str | None
    signed: tuple[bytes, ...]
    """What the client may have signed."""
    signature: str | None


class Gate:
    def __init__(
        self,
        key: VenueKey,
        limiter: Limiter,
        latency_ms: int,
        now_ms: Callable[[], int],
        true_ms: Callable[[], int],
        say: Say,
        seams: Seams,
        tally: Tally,
    ) -> None:
        """now_ms: the clock that clients are told. true_ms: one that no fault sets, by which requests are counted."""
        self._key = key
        self.seams = seams
        self._latency_ms = latency_ms
        self.now_ms = now_ms
        self._true_ms = true_ms
        self._limiter = limiter
        self._say = say
        self.tally = tally

    async def answer(
        self, call: Call, endpoint: Endpoint, params: Mapping[str, Any], claim: Claim, headers: dict[str, str]
    ) -> Any:
        """The endpoint's answer. headers: filled with what the limits have to say. Raises ApiError."""
        try:
            headers.update(self.charge(claim.address, endpoint.cost(params)))
            self._check(endpoint, params, claim)
            for _ in range(endpoint.orders):
                headers.update(self._limiter.order(claim.address, self._true_ms()))
            if endpoint.slow and self._latency_ms:
                await asyncio.sleep(self._latency_ms / 1000)
            if endpoint.slow:
                for order_hook in list(self.seams.orders):
                    order_hook(call)
            found = self.seams.answered(call, self._asked(endpoint, params))
            await self.seams.behind(call)
            return found
        except ApiError as refusal:
            headers.update(refusal.headers)
            raise

    def charge(self, address: str, weight: int) -> dict[str, str]:
        """Headers for the answer. Raises ApiError."""
        return self._limiter.charge(address, weight, self._true_ms())

    def counts(self, address: str) -> list[dict[str, object]]:
        """What the address has used of its limits."""
        return self._limiter.counts(address, self._true_ms())

    def _asked(self, endpoint: Endpoint, params: Mapping[str, Any]) -> Any:
        try:
            return endpoint.answer(params)
        except ApiError:
            raise
        except Exception as bug:  # noqa: BLE001  (one request must not end the venue; its log says what happened)
            self._say("bug", {"traceback": "".join(traceback.format_exception(bug))})
            raise ApiError.of(-1000) from None

    def _check(self, endpoint: Endpoint, params: Mapping[str, Any], claim: Claim) -> None:
        if endpoint.security == "none":
            return
        check_key(self._key, claim.api_key)
        if endpoint.security == "signed":
            check_time(params, self.now_ms())
            check_signature(self._key, claim.signed, claim.signature)
