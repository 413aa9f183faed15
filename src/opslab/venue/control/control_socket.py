"""The venue's control socket: a Unix socket in a folder that only its owner can access, protected by a token.

No client of the exchange can reach it. Requests and answers are JSON objects, one a line. A request names the token and
in `do` the command; an answer has `ok`, or `error`, `hint` and `exit_code`. A fault started with `"while": "connected"`
ends with the connection that started it, however its process ends.
"""

import asyncio
import hmac
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from opslab.errors import Environment, LabError, Usage
from opslab.model.messages.paper_messages import AccountSnapshot
from opslab.model.messages.venue_messages import CONTROL_SOCKET
from opslab.venue.control.flatten import Flattener
from opslab.venue.faults.catalog import fault_catalog
from opslab.venue.faults.controller import MAX_FAULT_SECONDS, ActiveFault, FaultController

MAX_REQUEST_BYTES = 64 << 10
MAX_CONTROL_CONNECTIONS = 16
MAX_REASON_CHARACTERS = 200
DEFAULT_FAULT_SECONDS = 30.0

Request = dict[str, Any]


class ControlSocket:
    def __init__(
        self,
        faults: FaultController,
        token: str,
        status: Callable[[], dict[str, Any]],
        account_snapshot: Callable[[], AccountSnapshot],
        flattener: Flattener,
    ) -> None:
        """status: answers the command `status`. account_snapshot: answers the command `statement`."""
        self._faults = faults
        self._token = token
        self._status_now = status
        self._account_snapshot = account_snapshot
        self._flattener = flattener
        self._connections = 0
        self._server: asyncio.Server | None = None
        self._folder: int | None = None
        self._commands: dict[str, Callable[[Request, object], Awaitable[Any]]] = {
            "list": self._list,
            "start": self._start,
            "stop": self._stop,
            "stop_all": self._stop_all,
            "held": self._held,
            "status": self._status,
            "statement": self._statement,
            "flatten": self._flatten,
        }

    async def open(self, folder: Path) -> None:
        """Listen in `folder`, which only its owner can access."""
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        # a socket's path may have 107 bytes, that of a folder may be longer
        path = f"/proc/self/fd/{self._folder}/{CONTROL_SOCKET}"
        with suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108  (left by a killed venue: this one holds the ledger's lock)
        self._server = await asyncio.start_unix_server(self._serve, path, limit=MAX_REQUEST_BYTES)
        os.chmod(path, 0o600)  # noqa: PTH101

    async def close(self) -> None:
        if self._server:
            self._server.close()
        self._commands["start"] = _refuse_start
        await self._faults.stop_all("venue_closing")
        if self._folder is not None:
            with suppress(OSError):
                os.unlink(f"/proc/self/fd/{self._folder}/{CONTROL_SOCKET}")  # noqa: PTH108
            os.close(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        owner = object()
        self._connections += 1
        try:
            while self._connections <= MAX_CONTROL_CONNECTIONS and (line := await reader.readline()):
                writer.write(to_json(await self._answer(line, owner)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # ValueError: a line that exceeds the limit
            pass
        finally:
            self._connections -= 1
            await self._faults.stop_owned_by(owner)
            writer.close()

    async def _answer(self, line: bytes, owner: object) -> dict[str, Any]:
        try:
            request = from_json(line)
            if not isinstance(request, dict):
                raise ValueError
        except ValueError:
            return {"error": "a request is a JSON object", "hint": None, "exit_code": Usage.exit_code}
        token = request.get("token")
        if not (isinstance(token, str) and hmac.compare_digest(token.encode(errors="replace"), self._token.encode())):
            return {"error": "wrong token", "hint": None, "exit_code": Environment.exit_code}
        command = self._commands.get(str(request.get("do")))
        if command is None:
            hint = f"known: {', '.join(self._commands)}"
            return {"error": "unknown command", "hint": hint, "exit_code": Usage.exit_code}
        try:
            return {"ok": await command(request, owner)}
        except LabError as error:
            return {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}

    async def _list(self, _request: Request, _owner: object) -> Any:
        return fault_catalog()

    async def _start(self, request: Request, owner: object) -> Any:
        terms, seconds = request.get("terms", {}), request.get("seconds", DEFAULT_FAULT_SECONDS)
        if not isinstance(terms, dict) or isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Usage("terms must be an object, seconds a number")
        connected = request.get("while") == "connected"
        active = await self._faults.start(
            str(request.get("fault")), terms, MAX_FAULT_SECONDS if connected else seconds, owner if connected else None
        )
        return _fault_row(active)

    async def _stop(self, request: Request, _owner: object) -> Any:
        number = request.get("number")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Usage("number must be that of an active fault")
        return _fault_row(await self._faults.stop(number))

    async def _stop_all(self, _request: Request, _owner: object) -> Any:
        return {"stopped": await self._faults.stop_all("stopped")}

    async def _held(self, _request: Request, _owner: object) -> Any:
        return [_fault_row(active) for active in self._faults.active_faults()]

    async def _status(self, _request: Request, _owner: object) -> Any:
        return self._status_now()

    async def _statement(self, _request: Request, _owner: object) -> Any:
        return self._account_snapshot().model_dump()

    async def _flatten(self, request: Request, _owner: object) -> Any:
        reason, hold = request.get("reason"), request.get("hold", False)
        if not isinstance(reason, str) or not 0 < len(reason) <= MAX_REASON_CHARACTERS or not isinstance(hold, bool):
            raise Usage(f"reason must have 1 to {MAX_REASON_CHARACTERS} characters, hold must be true or false")
        result = await self._flattener.flatten(reason, hold=hold)
        return {
            "canceled": result.canceled,
            "closed": f"{result.closed:f}",
            "statement": self._account_snapshot().model_dump(),
        }


async def _refuse_start(_request: Request, _owner: object) -> Any:
    raise Environment("the venue is closing")


def _fault_row(active: ActiveFault) -> dict[str, Any]:
    remaining_seconds = active.remaining_seconds()
    return {
        "number": active.number,
        "fault": active.name,
        "terms": active.terms,
        "remaining_seconds": None if remaining_seconds is None else round(remaining_seconds, 3),
    }
