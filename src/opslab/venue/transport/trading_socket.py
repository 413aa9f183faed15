"""The trading socket: requests and answers as JSON messages, each signed by itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from opslab.venue.api_error import ApiError
from opslab.venue.fault_hooks import Call, AnswerWithheld
from opslab.venue.transport.endpoint import EndpointTable
from opslab.venue.transport.request_pipeline import Credentials, RequestPipeline
from opslab.venue.transport.sessions import Connection
from opslab.venue.transport.signing import params_signature

MAX_AT_WORK = 1_000
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
"""Method to the REST endpoint that answers alike."""


class TradingSocket:
    """One client's socket."""

    def __init__(self, table: EndpointTable, pipeline: RequestPipeline, connection: Connection) -> None:
        self._table = table
        self._pipeline = pipeline
        self._connection = connection
        self._at_work: set[asyncio.Task[None]] = set()

    def heard(self, text: str) -> None:
        """Answer a request. Without latency that is done before this returns, so that requests are taken in turn."""
        if len(self._at_work) >= MAX_AT_WORK:
            self._connection.drop("it asks faster than it is answered")
            return
        task = asyncio.eager_task_factory(asyncio.get_running_loop(), self._serve(text))
        if not task.done():
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    def leave(self) -> None:
        for task in self._at_work:
            task.cancel()

    async def _serve(self, text: str) -> None:
        number: Any = None
        with_limits = True
        address = self._connection.address
        try:
            number, (method, path), params = self._read(text)
            call = Call(method, path, "trading")
            await self._turned_away(call)
            endpoint = self._table[(method, path)]
            if path.endswith("/listenKey"):
                endpoint = replace(endpoint, security="key")
            signed, signature = params_signature(params)
            claim = Credentials(address, params.get("apiKey"), signed, signature)
            with_limits = params.get("returnRateLimits") != "false"
            kept = {name: value for name, value in params.items() if name not in ("apiKey", "returnRateLimits")}
            found = await self._pipeline.answer(call, endpoint, kept, claim, {})
            answer: dict[str, Any] = {"id": number, "status": 200, "result": found}
        except ApiError as refusal:
            self._pipeline.counters.count_api_error(refusal.code)
            error: dict[str, Any] = refusal.body()
            if "Retry-After" in refusal.headers:
                now_ms = self._pipeline.now_ms()
                error["data"] = {
                    "serverTime": now_ms,
                    "retryAfter": now_ms + int(refusal.headers["Retry-After"]) * 1000,
                }
            answer = {"id": refusal.number if isinstance(refusal, _Unread) else number, "status": refusal.http_status}
            answer["error"] = error
        except AnswerWithheld:
            return
        if with_limits:
            answer["rateLimits"] = self._pipeline.counts(address)
        self._connection.send(to_json(answer).decode())

    async def _turned_away(self, call: Call) -> None:
        """Raises ApiError with what a fault answers instead."""
        reply = await self._pipeline.hooks.before(call)
        if reply is not None:
            try:
                said = from_json(reply.body)
                code, msg = int(said["code"]), str(said["msg"])
            except (ValueError, KeyError, TypeError):
                code, msg = -1000, reply.body.decode(errors="replace")
            raise ApiError(code, msg, http_status=reply.status, headers=reply.headers)

    def _read(self, text: str) -> tuple[Any, tuple[str, str], dict[str, str]]:
        """(id, method and path of the endpoint, parameters). Raises ApiError."""
        try:
            asked = from_json(text, allow_inf_nan=False)
        except ValueError:
            raise ApiError(-1135, "Invalid JSON in request body.") from None
        if not isinstance(asked, dict):
            raise ApiError(-1135, "Invalid JSON in request body.")
        number = asked.get("id")
        if not (number is None or isinstance(number, int | str)) or isinstance(number, bool):
            raise ApiError(-1135, "Invalid 'id' in JSON request; expected an integer, a string or null.")
        method, params = asked.get("method"), asked.get("params", {})
        if not isinstance(method, str) or method not in METHODS:
            raise _Unread(-1000, f"Unknown method '{str(method)[:60]}'.", number)
        if not isinstance(params, dict):
            raise _Unread(-1102, "Mandatory parameter 'params' was not sent, was empty/null, or malformed.", number)
        return number, METHODS[method], {name: _text(value) for name, value in params.items()}


def _text(value: Any) -> str:
    """As a query would have it."""
    return value if isinstance(value, str) else to_json(value).decode()


class _Unread(ApiError):
    """Of a request whose id is known, and no more."""

    def __init__(self, code: int, msg: str, number: Any) -> None:
        super().__init__(code, msg, http_status=400)
        self.number = number
