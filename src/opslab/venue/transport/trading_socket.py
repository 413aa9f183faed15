"""The trading socket: signed requests and their answers as JSON messages over a WebSocket."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from opslab.venue.api_error import ApiError
from opslab.venue.fault_hooks import AnswerWithheld, Call
from opslab.venue.transport.endpoint import EndpointTable
from opslab.venue.transport.request_pipeline import Credentials, RequestPipeline
from opslab.venue.transport.sessions import Connection
from opslab.venue.transport.signing import params_signature

MAX_PENDING_REQUESTS = 1_000
"""Requests of one connection that wait for their answers."""
METHODS: Mapping[str, tuple[str, str]] = {
    "ping": ("GET", "/fapi/v1/ping"),
    "time": ("GET", "/fapi/v1/time"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ticker.price": ("GET", "/fapi/v1/ticker/price"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
}
"""Method to the REST endpoint with the same answer."""


class TradingSocket:
    """One client's socket."""

    def __init__(self, table: EndpointTable, pipeline: RequestPipeline, connection: Connection) -> None:
        self._table = table
        self._pipeline = pipeline
        self._connection = connection
        self._pending: set[asyncio.Task[None]] = set()

    def receive(self, text: str) -> None:
        """Answer a request. Without latency it is executed before this returns: requests are executed in order."""
        if len(self._pending) >= MAX_PENDING_REQUESTS:
            self._connection.drop("too many unanswered requests")
            return
        task = asyncio.eager_task_factory(asyncio.get_running_loop(), self._serve(text))
        if not task.done():
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    def cancel_pending(self) -> None:
        for task in self._pending:
            task.cancel()

    async def _serve(self, text: str) -> None:
        request_id: Any = None
        with_limits = True
        address = self._connection.address
        try:
            request_id, (method, path), params = self._parse(text)
            call = Call(method, path, "trading")
            await self._apply_call_hooks(call)
            endpoint = self._table[(method, path)]
            if path.endswith("/listenKey"):
                endpoint = replace(endpoint, security="key")
            signed_texts, signature = params_signature(params)
            credentials = Credentials(address, params.get("apiKey"), signed_texts, signature)
            with_limits = params.get("returnRateLimits") != "false"
            own_params = {name: value for name, value in params.items() if name not in ("apiKey", "returnRateLimits")}
            result = await self._pipeline.answer(call, endpoint, own_params, credentials, {})
            answer: dict[str, Any] = {"id": request_id, "status": 200, "result": result}
        except ApiError as refusal:
            self._pipeline.counters.count_api_error(refusal.code)
            error: dict[str, Any] = refusal.body()
            if "Retry-After" in refusal.headers:
                now_ms = self._pipeline.now_ms()
                error["data"] = {
                    "serverTime": now_ms,
                    "retryAfter": now_ms + int(refusal.headers["Retry-After"]) * 1000,
                }
            if isinstance(refusal, _InvalidRequest):
                request_id = refusal.request_id
            answer = {"id": request_id, "status": refusal.http_status, "error": error}
        except AnswerWithheld:
            return
        if with_limits:
            answer["rateLimits"] = self._pipeline.usage(address)
        self._connection.send(to_json(answer).decode())

    async def _apply_call_hooks(self, call: Call) -> None:
        """Raises ApiError with the answer that a fault gives instead."""
        reply = await self._pipeline.hooks.before_request(call)
        if reply is not None:
            try:
                body = from_json(reply.body)
                code, msg = int(body["code"]), str(body["msg"])
            except (ValueError, KeyError, TypeError):
                code, msg = -1000, reply.body.decode(errors="replace")
            raise ApiError(code, msg, http_status=reply.status, headers=reply.headers)

    def _parse(self, text: str) -> tuple[Any, tuple[str, str], dict[str, str]]:
        """(id, method and path of the endpoint, parameters). Raises ApiError."""
        try:
            request = from_json(text, allow_inf_nan=False)
        except ValueError:
            raise ApiError(-1135, "Invalid JSON in request body.") from None
        if not isinstance(request, dict):
            raise ApiError(-1135, "Invalid JSON in request body.")
        request_id = request.get("id")
        if not (request_id is None or isinstance(request_id, int | str)) or isinstance(request_id, bool):
            raise ApiError(-1135, "Invalid 'id' in JSON request; expected an integer, a string or null.")
        method, params = request.get("method"), request.get("params", {})
        if not isinstance(method, str) or method not in METHODS:
            raise _InvalidRequest(-1000, f"Unknown method '{str(method)[:60]}'.", request_id)
        if not isinstance(params, dict):
            raise _InvalidRequest(
                -1102, "Mandatory parameter 'params' was not sent, was empty/null, or malformed.", request_id
            )
        return request_id, METHODS[method], {name: _text(value) for name, value in params.items()}


def _text(value: Any) -> str:
    """The value as a query string would have it."""
    return value if isinstance(value, str) else to_json(value).decode()


class _InvalidRequest(ApiError):
    """A request that has a valid id and is invalid otherwise."""

    def __init__(self, code: int, msg: str, request_id: Any) -> None:
        super().__init__(code, msg, http_status=400)
        self.request_id = request_id
