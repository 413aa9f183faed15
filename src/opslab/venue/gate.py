"""One request on its way in, over HTTP or a socket: limits, key, time, signature, then the answer."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opslab.model.venue import VenueKey
from opslab.venue.endpoint import Endpoint
from opslab.venue.limits import Limiter
from opslab.venue.refusal import Refusal
from opslab.venue.say import Say
from opslab.venue.signing import check_key, check_signature, check_time


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request gives to say who it is from."""

    address: str
    api_key: str | None
    signed: tuple[bytes, ...]
    """What the client may have signed."""
    signature: str | None


class Gate:
    def __init__(self, key: VenueKey, limiter: Limiter, latency_ms: int, now_ms: Callable[[], int], say: Say) -> None:
        self._key = key
        self._latency_ms = latency_ms
        self.now_ms = now_ms
        self.limiter = limiter
        self._say = say
        self.refused: dict[int, int] = {}
        """Code to how often it was answered."""

    async def answer(self, endpoint: Endpoint, params: Mapping[str, Any], claim: Claim, headers: dict[str, str]) -> Any:
        """The endpoint's answer. headers: filled with what the limits have to say. Raises Refusal."""
        try:
            headers.update(self.limiter.charge(claim.address, endpoint.cost(params), self.now_ms()))
            self._check(endpoint, params, claim)
            for _ in range(endpoint.orders):
                headers.update(self.limiter.order(claim.address, self.now_ms()))
            if endpoint.slow and self._latency_ms:
                await asyncio.sleep(self._latency_ms / 1000)
            return self._asked(endpoint, params)
        except Refusal as refusal:
            self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
            headers.update(refusal.headers)
            raise

    def _asked(self, endpoint: Endpoint, params: Mapping[str, Any]) -> Any:
        try:
            return endpoint.answer(params)
        except Refusal:
            raise
        except Exception as bug:  # noqa: BLE001  (one request must not end the venue; its log says what happened)
            self._say("bug", {"traceback": "".join(traceback.format_exception(bug))})
            raise Refusal.of(-1000) from None

    def _check(self, endpoint: Endpoint, params: Mapping[str, Any], claim: Claim) -> None:
        if endpoint.security == "none":
            return
        check_key(self._key, claim.api_key)
        if endpoint.security == "signed":
            check_time(params, self.now_ms())
            check_signature(self._key, claim.signed, claim.signature)
