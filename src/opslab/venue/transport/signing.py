"""Authentication of requests: the API key, the HMAC signature, the timestamp and its window."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from opslab.model.messages.venue_messages import VenueKey
from opslab.venue.api_error import ApiError

DEFAULT_WINDOW_MS = 5_000
MAX_WINDOW_MS = 60_000
MAX_AHEAD_MS = 1_000
"""A timestamp this far in the future is refused."""


def check_key(key: VenueKey, api_key: str | None) -> None:
    """Raises ApiError when the key is absent, or not the one that was issued."""
    if not api_key:
        raise ApiError.of(-2014)
    if not hmac.compare_digest(api_key.encode(errors="surrogateescape"), key.api_key.encode()):
        raise ApiError.of(-2015)


def check_signature(key: VenueKey, signed_texts: Iterable[bytes], signature: str | None) -> None:
    """signed_texts: the texts that the client may have signed. Raises ApiError when the signature fits none."""
    if not signature:
        raise ApiError.missing("signature")
    for text in signed_texts:
        expected = hmac.new(key.api_secret.encode(), text, hashlib.sha256).hexdigest()
        if hmac.compare_digest(signature.lower().encode(), expected.encode()):
            return
    raise ApiError.of(-1022)


def check_time(params: Mapping[str, str], now_ms: int) -> None:
    """Raises ApiError when the timestamp is missing, or outside its window around now."""
    timestamp = _integer(params, "timestamp")
    if timestamp is None:
        raise ApiError.missing("timestamp")
    window = _integer(params, "recvWindow")
    window = DEFAULT_WINDOW_MS if window is None else window
    if not 0 < window <= MAX_WINDOW_MS:
        raise ApiError.of(-1131)
    if timestamp >= now_ms + MAX_AHEAD_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if timestamp < now_ms - window:
        raise ApiError.of(-1021)


def _integer(params: Mapping[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ApiError.malformed(name)
    return int(text)


def query_signature(query: str, body: str) -> tuple[tuple[bytes, ...], str | None]:
    """(texts that were signed, signature) of an HTTP request: query and body as sent, without the signature."""
    signature: str | None = None
    unsigned: list[list[str]] = []
    for text in (query, body):
        parts: list[str] = []
        for part in text.split("&") if text else []:
            if part.startswith("signature="):
                signature = part.removeprefix("signature=")
            else:
                parts.append(part)
        unsigned.append(parts)
    return (("&".join(unsigned[0]) + "&".join(unsigned[1])).encode(),), signature


def params_signature(params: Mapping[str, str]) -> tuple[tuple[bytes, ...], str | None]:
    """As `query_signature`, for a trading socket's request: all parameters sorted by name, plain or escaped."""
    pairs = [(name, params[name]) for name in sorted(params) if name != "signature"]
    plain = "&".join(f"{name}={value}" for name, value in pairs)
    return (plain.encode(), urlencode(pairs).encode()), params.get("signature")


def listen_key(key: VenueKey) -> str:
    """The same at every start with this key, so that a client that reconnects finds its stream."""
    return hmac.new(key.api_secret.encode(), b"listen key", hashlib.sha256).hexdigest()
