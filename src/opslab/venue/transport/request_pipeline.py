"""The steps of one request, over HTTP or a socket: rate limits, API key, timestamp, signature, then the endpoint."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from opslab.model.messages.venue_messages import VenueKey
from opslab.venue.api_error import ApiError
from opslab.venue.counters import Counters
from opslab.venue.event_log import EventLogger
from opslab.venue.fault_hooks import Call, FaultHooks
from opslab.venue.transport.endpoint import Endpoint
from opslab.venue.transport.rate_limits import RateLimiter
from opslab.venue.transport.signing import check_key, check_signature, check_time


@dataclass(frozen=True, slots=True)
class Credentials:
    """The identity that a request claims."""

    address: str
    api_key: str | None
    signed_texts: tuple[bytes, ...]
    """The texts that the client may have signed."""
    signature: str | None


class RequestPipeline:
    def __init__(
        self,
        key: VenueKey,
        limiter: RateLimiter,
        latency_ms: int,
        now_ms: Callable[[], int],
        true_ms: Callable[[], int],
        log_event: EventLogger,
        hooks: FaultHooks,
        counters: Counters,
    ) -> None:
        """now_ms: the clock that clients see. true_ms: the clock that no fault shifts; it counts requests."""
        self._key = key
        self.hooks = hooks
        self._latency_ms = latency_ms
        self.now_ms = now_ms
        self._true_ms = true_ms
        self._limiter = limiter
        self._log_event = log_event
        self.counters = counters

    async def answer(
        self,
        call: Call,
        endpoint: Endpoint,
        params: Mapping[str, Any],
        credentials: Credentials,
        headers: dict[str, str],
    ) -> Any:
        """The endpoint's answer. headers: filled with the headers of the rate limits. Raises ApiError."""
        try:
            headers.update(self.charge(credentials.address, endpoint.cost(params)))
            self._check(endpoint, params, credentials)
            for _ in range(endpoint.orders):
                headers.update(self._limiter.count_order(credentials.address, self._true_ms()))
            if endpoint.slow and self._latency_ms:
                await asyncio.sleep(self._latency_ms / 1000)
            if endpoint.slow:
                for order_hook in list(self.hooks.orders):
                    order_hook(call)
            answer = self.hooks.change_answer(call, self._call_endpoint(endpoint, params))
            await self.hooks.after_request(call)
            return answer
        except ApiError as error:
            headers.update(error.headers)
            raise

    def charge(self, address: str, weight: int) -> dict[str, str]:
        """Headers for the answer. Raises ApiError."""
        return self._limiter.charge(address, weight, self._true_ms())

    def usage(self, address: str) -> list[dict[str, object]]:
        """The address's usage of its limits."""
        return self._limiter.usage(address, self._true_ms())

    def _call_endpoint(self, endpoint: Endpoint, params: Mapping[str, Any]) -> Any:
        try:
            return endpoint.answer(params)
        except ApiError:
            raise
        except Exception as bug:  # noqa: BLE001  (one request must not end the venue; its event log has the traceback)
            self._log_event("bug", {"traceback": "".join(traceback.format_exception(bug))})
            raise ApiError.of(-1000) from None

    def _check(self, endpoint: Endpoint, params: Mapping[str, Any], credentials: Credentials) -> None:
        if endpoint.security == "none":
            return
        check_key(self._key, credentials.api_key)
        if endpoint.security == "signed":
            check_time(params, self.now_ms())
            check_signature(self._key, credentials.signed_texts, credentials.signature)
