"""The control door of a venue that is served, from outside."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from opslab.errors import Corrupt, Environment, LabError, NotFound, Usage
from opslab.model.messages.venue_messages import DOOR_SOCKET
from opslab.model.primitives.ids import VenueId, nearest
from opslab.store.files import folder_names
from opslab.store.layout import Layout
from opslab.store.venues.venue_files import read_token, read_venue

TIMEOUT_SECONDS = 10.0


class ControlClient:
    """One connection to a venue's control door. `with` closes it; faults that last while it is open end then."""

    def __init__(self, folder: Path, token: str, hint: str | None = None, seconds: float = TIMEOUT_SECONDS) -> None:
        """hint: what to do when nobody is there, which raises Environment. seconds: how long an answer may take."""
        self._token = token
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(seconds)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{descriptor}/{DOOR_SOCKET}")
        except OSError:
            self._socket.close()
            raise Environment(f"venue {folder.name} is not served", hint=hint) from None
        finally:
            os.close(descriptor)
        self._stream = self._socket.makefile("rb")

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()
            self._socket.close()

    def give(self, seconds: float) -> None:
        """So long the next answers may take."""
        self._socket.settimeout(seconds)

    def ask(self, do: str, **more: Any) -> Any:
        """What the venue answers. Raises what it refuses with."""
        try:
            self._socket.sendall(to_json({"token": self._token, "do": do, **more}) + b"\n")
            line = self._stream.readline()
        except OSError as error:
            raise Environment(f"the venue does not answer: {error}") from None
        if not line:
            raise Environment("the venue closed its control door")
        answer = from_json(line)
        if "error" in answer:
            kinds: dict[int, type[LabError]] = {2: Usage, 5: Environment, 6: Corrupt}
            raise kinds.get(answer["exit_code"], Environment)(answer["error"], hint=answer["hint"])
        return answer["ok"]


def open_control(layout: Layout, name: str) -> ControlClient:
    """Raises BadId, NotFound, Environment."""
    folder = layout.venue(VenueId(name))
    record = read_venue(folder)
    if record is None:
        close = nearest(name, folder_names(layout.venues))
        guess = f" (did you mean {', '.join(close)}?)" if close else ""
        raise NotFound(f"venue {name} not found{guess}", hint="tc venue serve --name NAME makes one")
    hint = f"tc venue serve --name {name} serves it" if record.run_id is None else f"tc run show {record.run_id}"
    return ControlClient(folder, read_token(folder), hint)
