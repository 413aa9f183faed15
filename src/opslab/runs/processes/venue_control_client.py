"""Client of the control socket of a served venue."""

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from opslab.errors import Environment, NotFound
from opslab.model.messages.venue_messages import CONTROL_SOCKET
from opslab.model.primitives.ids import VenueId, nearest
from opslab.runs.processes.venue_error import venue_error
from opslab.store.files import folder_names
from opslab.store.layout import Layout
from opslab.store.venues.venue_files import read_token, read_venue

TIMEOUT_SECONDS = 10.0


class ControlClient:
    """One connection to a venue's control socket. `with` closes it; faults tied to the connection end then."""

    def __init__(
        self, folder: Path, token: str, hint: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """hint: of the Environment raised when the venue is not served. timeout_seconds: for each answer."""
        self._token = token
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_seconds)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{descriptor}/{CONTROL_SOCKET}")
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

    def set_timeout(self, seconds: float) -> None:
        """Set the time allowed for each answer from now on."""
        self._socket.settimeout(seconds)

    def request(self, do: str, **params: Any) -> Any:
        """Send one command; returns the venue's answer. Raises the venue's error, or Environment without an answer."""
        try:
            self._socket.sendall(to_json({"token": self._token, "do": do, **params}) + b"\n")
            line = self._stream.readline()
        except OSError as error:
            raise Environment(f"the venue does not answer: {error}") from None
        if not line:
            raise Environment("the venue closed the control connection")
        answer = from_json(line)
        if "error" in answer:
            raise venue_error(answer["exit_code"], answer["error"], answer["hint"])
        return answer["ok"]


def open_control(layout: Layout, name: str) -> ControlClient:
    """Connect to the venue of this name. Raises BadId, NotFound, Environment."""
    folder = layout.venue(VenueId(name))
    record = read_venue(folder)
    if record is None:
        similar = nearest(name, folder_names(layout.venues))
        guess = f" (did you mean {', '.join(similar)}?)" if similar else ""
        raise NotFound(f"venue {name} not found{guess}", hint="tc venue serve --name NAME creates one")
    hint = f"tc venue serve --name {name}" if record.run_id is None else f"tc run show {record.run_id}"
    return ControlClient(folder, read_token(folder), hint)
