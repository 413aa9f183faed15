"""The user-data stream: sends account events to the connections that hold the listen key."""

from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from opslab.venue.transport.sessions import Connection

LISTEN_KEY_VALID_MS = 60 * 60_000
"""A listen key expires when it was neither issued nor renewed within this time."""


class UserDataStream:
    def __init__(self, key: str, now_ms: Callable[[], int]) -> None:
        """key: the only listen key; the same after a restart with the same API key."""
        self._key = key
        self._now_ms = now_ms
        self._valid_until_ms = now_ms() + LISTEN_KEY_VALID_MS
        self._connections: dict[Connection, Callable[[], bool]] = {}
        """Each connection, and whether it wants envelopes that name the stream."""

    def issue(self) -> str:
        """The listen key, valid for another hour."""
        self._valid_until_ms = self._now_ms() + LISTEN_KEY_VALID_MS
        return self._key

    def is_valid(self, key: str) -> bool:
        return key == self._key and self._now_ms() < self._valid_until_ms

    def renew(self) -> bool:
        """Extend the key's validity; False when it has expired already."""
        if self._now_ms() >= self._valid_until_ms:
            return False
        self._valid_until_ms = self._now_ms() + LISTEN_KEY_VALID_MS
        return True

    def revoke(self) -> None:
        """Make the key invalid; its connections get `listenKeyExpired`."""
        self._valid_until_ms = 0
        self.expire()

    def expire(self) -> None:
        """Send `listenKeyExpired` and remove all connections, if the key has expired. Called periodically."""
        now_ms = self._now_ms()
        if now_ms < self._valid_until_ms:
            return
        self.publish([{"e": "listenKeyExpired", "E": now_ms, "listenKey": self._key}])
        self._connections.clear()

    def add(self, connection: Connection, combined: Callable[[], bool] = lambda: False) -> None:
        """combined: whether events are sent in an envelope, for a connection that subscribed to the key by message."""
        self._connections[connection] = combined

    def remove(self, connection: Connection) -> None:
        self._connections.pop(connection, None)

    def connections(self) -> list[Connection]:
        return list(self._connections)

    def publish(self, events: list[dict[str, Any]]) -> None:
        for event in events if self._connections else ():
            text = to_json(event).decode()
            for connection, combined in self._connections.items():
                connection.send(f'{{"stream":"{self._key}","data":{text}}}' if combined() else text)
