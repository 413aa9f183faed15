"""Who may ask: the API key, the HMAC signature, the timestamp and its window."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from opslab.model.messages.venue_messages import VenueKey
from opslab.venue.api_error import ApiError

DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000
AHEAD_MS = 1_000
"""A timestamp may be this far in the future."""


def check_key(key: VenueKey, given: str | None) -> None:
    """Raises ApiError when the key is absent, or not the one that was issued."""
    if not given:
        raise ApiError.of(-2014)
    if not hmac.compare_digest(given.encode(errors="surrogateescape"), key.api_key.encode()):
        raise ApiError.of(-2015)


def check_signature(key: VenueKey, signed: Iterable[bytes], signature: str | None) -> None:
    """signed: the bytes that the client may have signed."""
    if not signature:
        raise ApiError.missing("signature")
    for text in signed:
        wanted = hmac.new(key.api_secret.encode(), text, hashlib.sha256).hexdigest()
        if hmac.compare_digest(signature.lower().encode(), wanted.encode()):
            return
    raise ApiError.of(-1022)


def check_time(params: Mapping[str, str], now_ms: int) -> None:
    """The timestamp must be there, and within its window of now."""
    timestamp = _whole(params, "timestamp")
    if timestamp is None:
        raise ApiError.missing("timestamp")
    window = _whole(params, "recvWindow")
    window = DEFAULT_WINDOW_MS if window is None else window
    if not 0 < window <= MAX_WINDOW_MS:
        raise ApiError.of(-1131)
    if timestamp >= now_ms + AHEAD_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if timestamp < now_ms - window:
        raise ApiError.of(-1021)


def _whole(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError.malformed(name)
    return int(text)


def query_signature(query: str, body: str) -> tuple[tuple[bytes, ...], str | None]:
    """(what was signed, the signature) of an HTTP request: query and body as sent, without the signature."""
    signature: str | None = None
    kept: list[list[str]] = []
    for text in (query, body):
        parts: list[str] = []
        for part in text.split("&") if text else []:
            if part.startswith("signature="):
                signature = part.removeprefix("signature=")
            else:
                parts.append(part)
        kept.append(parts)
    return (("&".join(kept[0]) + "&".join(kept[1])).encode(),), signature


def params_signature(params: Mapping[str, str]) -> tuple[tuple[bytes, ...], str | None]:
    """As `signed_of_query`, of a trading socket's request: every parameter, by name; escaped, or as it is."""
    pairs = [(name, params[name]) for name in sorted(params) if name != "signature"]
    plain = "&".join(f"{name}={value}" for name, value in pairs)
    return (plain.encode(), urlencode(pairs).encode()), params.get("signature")


def listen_key(key: VenueKey) -> str:
    """The same for every start with this key, so that a client that comes back finds its stream."""
    return hmac.new(key.api_secret.encode(), b"listen key", hashlib.sha256).hexdigest()
