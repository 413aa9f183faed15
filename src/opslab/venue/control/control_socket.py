"""The control door: a Unix socket in a folder of the owner's alone, and a token. No client of the exchange gets here.

One JSON object a line each way. A request names the token and what to `do`; an answer has `ok`, or `error` and `hint`.
A fault begun with `"while": "connected"` ends with the connection that asked for it, whatever became of its process.
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
from opslab.model.messages.venue_messages import DOOR_SOCKET
from opslab.venue.control.flatten import Flattener
from opslab.venue.faults.catalog import fault_catalog
from opslab.venue.faults.controller import MAX_SECONDS, FaultController, ActiveFault

MAX_LINE_BYTES = 64 << 10
MAX_OPEN = 16
MAX_WHY = 200
DEFAULT_SECONDS = 30.0


class ControlSocket:
    def __init__(
        self,
        faults: FaultController,
        token: str,
        look: Callable[[], dict[str, Any]],
        state: Callable[[], AccountSnapshot],
        flattener: Flattener,
    ) -> None:
        """look: how the venue stands, for `status`. state: what it says of the account, for `statement`."""
        self._faults = faults
        self._state = state
        self._flattener = flattener
        self._token = token
        self._look = look
        self._open = 0
        self._server: asyncio.Server | None = None
        self._folder: int | None = None
        self._do: dict[str, Callable[[dict[str, Any], object], Awaitable[Any]]] = {
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
        """Listen in `folder`, which nobody else may enter."""
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        # a socket's path may be 107 bytes, a folder's may be longer
        place = f"/proc/self/fd/{self._folder}/{DOOR_SOCKET}"
        with suppress(FileNotFoundError):
            os.unlink(place)  # noqa: PTH108  (of a venue that was killed; the ledger's lock says that it is gone)
        self._server = await asyncio.start_unix_server(self._serve, place, limit=MAX_LINE_BYTES)
        os.chmod(place, 0o600)  # noqa: PTH101

    async def close(self) -> None:
        if self._server:
            self._server.close()
        self._do["start"] = _closing
        await self._faults.stop_all("the venue is closing")
        if self._folder is not None:
            with suppress(OSError):
                os.unlink(f"/proc/self/fd/{self._folder}/{DOOR_SOCKET}")  # noqa: PTH108
            os.close(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        owner = object()
        self._open += 1
        try:
            while self._open <= MAX_OPEN and (line := await reader.readline()):
                writer.write(to_json(await self._answer(line, owner)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # ValueError: a line without an end
            pass
        finally:
            self._open -= 1
            await self._faults.leave(owner)
            writer.close()

    async def _answer(self, line: bytes, owner: object) -> dict[str, Any]:
        try:
            asked = from_json(line)
            if not isinstance(asked, dict):
                raise ValueError
        except ValueError:
            return {"error": "a request is a JSON object", "hint": None, "exit_code": Usage.exit_code}
        token = asked.get("token")
        if not (isinstance(token, str) and hmac.compare_digest(token.encode(errors="replace"), self._token.encode())):
            return {"error": "the token is not this venue's", "hint": None, "exit_code": 5}
        do = self._do.get(str(asked.get("do")))
        if do is None:
            return {"error": "not known", "hint": f"known: {', '.join(self._do)}", "exit_code": Usage.exit_code}
        try:
            return {"ok": await do(asked, owner)}
        except LabError as error:
            return {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}

    async def _list(self, _asked: dict[str, Any], _owner: object) -> Any:
        return fault_catalog()

    async def _start(self, asked: dict[str, Any], owner: object) -> Any:
        terms, seconds = asked.get("terms", {}), asked.get("seconds", DEFAULT_SECONDS)
        if not isinstance(terms, dict) or isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Usage("terms are an object, seconds a number")
        connected = asked.get("while") == "connected"
        held = await self._faults.start(
            str(asked.get("fault")), terms, MAX_SECONDS if connected else seconds, owner if connected else None
        )
        return _told(held)

    async def _stop(self, asked: dict[str, Any], _owner: object) -> Any:
        number = asked.get("number")
        if not isinstance(number, int) or isinstance(number, bool):
            raise Usage("number is that of a fault that is held")
        return _told(await self._faults.stop(number))

    async def _stop_all(self, _asked: dict[str, Any], _owner: object) -> Any:
        return {"stopped": await self._faults.stop_all("stopped")}

    async def _held(self, _asked: dict[str, Any], _owner: object) -> Any:
        return [_told(held) for held in self._faults.held()]

    async def _status(self, _asked: dict[str, Any], _owner: object) -> Any:
        return self._look()

    async def _statement(self, _asked: dict[str, Any], _owner: object) -> Any:
        return self._state().model_dump()

    async def _flatten(self, asked: dict[str, Any], _owner: object) -> Any:
        why, hold = asked.get("reason"), asked.get("hold", False)
        if not isinstance(why, str) or not 0 < len(why) <= MAX_WHY or not isinstance(hold, bool):
            raise Usage(f"reason is a text of at most {MAX_WHY} characters, hold is true or false")
        done = await self._flattener.flatten(why, hold=hold)
        return {
            "canceled": done.canceled,
            "closed": f"{done.closed:f}",
            "statement": self._state().model_dump(),
        }


async def _closing(_asked: dict[str, Any], _owner: object) -> Any:
    raise Environment("the venue is closing")


def _told(held: ActiveFault) -> dict[str, Any]:
    left = held.remaining_seconds()
    return {
        "number": held.number,
        "fault": held.name,
        "terms": held.terms,
        "remaining_seconds": None if left is None else round(left, 3),
    }
