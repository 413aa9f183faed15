"""The REST API: turns an HTTP request into parameters, and an answer or an error into JSON."""

import asyncio
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.http import HttpProcessingError
from pydantic_core import to_json

from opslab.venue.api_error import ApiError
from opslab.venue.fault_hooks import AnswerWithheld, Call
from opslab.venue.transport.endpoint import EndpointTable
from opslab.venue.transport.request_pipeline import Credentials, RequestPipeline
from opslab.venue.transport.signing import query_signature

MAX_BODY_BYTES = 64 << 10
MAX_PARAMS = 100
BODY_SECONDS = 10.0


class Rest:
    def __init__(self, table: EndpointTable, pipeline: RequestPipeline) -> None:
        self._table = table
        self._pipeline = pipeline

    async def handle(self, request: web.Request) -> web.Response:
        headers: dict[str, str] = {}
        call = Call(request.method, request.path, "rest")
        reply = await self._pipeline.hooks.before_request(call)
        if reply is not None:
            return web.Response(
                status=reply.status, body=reply.body, headers=reply.headers, content_type=reply.content_type
            )
        try:
            answer = await self._answer(call, request, headers)
            return _response(200, answer, headers)
        except ApiError as error:
            self._pipeline.counters.count_api_error(error.code)
            return _response(error.http_status, error.body(), {**headers, **error.headers})
        except AnswerWithheld:
            if request.transport:
                request.transport.abort()
            return web.Response()  # never sent: the connection is aborted

    async def _answer(self, call: Call, request: web.Request, headers: dict[str, str]) -> object:
        endpoint = self._table.get((request.method, request.path))
        if endpoint is None:
            headers.update(self._pipeline.charge(_address(request), 1))
            raise ApiError(-5000, f"Path {request.path[:100]}, Method {request.method} is invalid", http_status=404)
        query, body = request.rel_url.raw_query_string, await _body(request)
        signed_texts, signature = query_signature(query, body)
        credentials = Credentials(_address(request), request.headers.get("X-MBX-APIKEY"), signed_texts, signature)
        return await self._pipeline.answer(call, endpoint, _params(query, body), credentials, headers)


def _address(request: web.Request) -> str:
    return request.remote or ""


async def _body(request: web.Request) -> str:
    """Raises ApiError when the body is not ASCII text, AnswerWithheld when the client has disconnected."""
    if not request.can_read_body:
        return ""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await request.read()  # the server limits its size
    except TimeoutError:
        raise ApiError(-1007, "Timeout waiting for the request's body.", http_status=408) from None
    except ConnectionError:
        raise AnswerWithheld from None
    except (HttpProcessingError, web.RequestPayloadError):
        raise ApiError(-1000, "The request's body cannot be read.") from None
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise ApiError.illegal("body", "[ -~]*") from None


def _params(query: str, body: str) -> dict[str, str]:
    """The parameters of query and form. Raises ApiError for a duplicate parameter, or for too many."""
    try:
        pairs = [
            pair
            for text in (query, body)
            for pair in parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMS)
        ]
    except ValueError:
        raise ApiError.of(-1101 if f"{query}&{body}".count("&") > MAX_PARAMS else -1130, "query") from None
    params = dict(pairs)
    if len(params) < len(pairs):
        raise ApiError.of(-1101)
    return params


def _response(status: int, payload: object, headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=to_json(payload), content_type="application/json", headers=headers)
