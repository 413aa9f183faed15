"""The user-data stream: what happens to the account, to whoever holds its listen key."""

from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from opslab.venue.transport.sessions import Connection

VALID_MS = 60 * 60_000
"""A listen key dies when it was not asked for or renewed for so long."""


class UserDataStream:
    def __init__(self, key: str, now_ms: Callable[[], int]) -> None:
        """key: the one there is; the same after a restart with the same API key."""
        self._key = key
        self._now_ms = now_ms
        self._until_ms = now_ms() + VALID_MS
        self._connections: dict[Connection, Callable[[], bool]] = {}
        """Who listens, and whether it wants envelopes that name the stream."""

    def issue(self) -> str:
        """The listen key, good for another hour."""
        self._until_ms = self._now_ms() + VALID_MS
        return self._key

    def knows(self, key: str) -> bool:
        return key == self._key and self._now_ms() < self._until_ms

    def renew(self) -> bool:
        """Whether there is one that could be renewed."""
        if self._now_ms() >= self._until_ms:
            return False
        self._until_ms = self._now_ms() + VALID_MS
        return True

    def close(self) -> None:
        """Take it back; who listens is told."""
        self._until_ms = 0
        self.expire()

    def expire(self) -> None:
        """Tell those who listen with a key that is no longer good, and forget them. Called now and then."""
        now_ms = self._now_ms()
        if now_ms < self._until_ms:
            return
        self.tell([{"e": "listenKeyExpired", "E": now_ms, "listenKey": self._key}])
        self._connections.clear()

    def join(self, connection: Connection, combined: Callable[[], bool] = lambda: False) -> None:
        """combined: whether events come in an envelope; of one who chose the key by message, as its other streams."""
        self._connections[connection] = combined

    def leave(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def listeners(self) -> list[Connection]:
        return list(self._connections)

    def tell(self, events: list[dict[str, Any]]) -> None:
        for event in events if self._connections else ():
            text = to_json(event).decode()
            for connection, combined in self._connections.items():
                connection.send(f'{{"stream":"{self._key}","data":{text}}}' if combined() else text)
