"""Authentication: keys, signatures and timestamps, compared with Binance's documented examples."""

import hashlib
import hmac
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opslab.model.messages.venue_messages import VenueKey
from opslab.venue.api_error import ApiError
from opslab.venue.transport.signing import (
    check_key,
    check_signature,
    check_time,
    listen_key,
    params_signature,
    query_signature,
)

NOW_MS = 1_800_000_000_000
FUTURES = VenueKey(
    api_key="dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83",
    api_secret="2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
)
SPOT = VenueKey(
    api_key="vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    api_secret="NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
)
FUTURES_QUERY = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
)
FUTURES_SIGNATURE = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
SPOT_QUERY = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
SPOT_BODY = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
SPOT_SIGNATURE = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
SOCKET_PARAMS = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.01000000",
    "price": "52000.00",
    "newOrderRespType": "ACK",
    "recvWindow": "100",
    "timestamp": "1645423376532",
    "apiKey": SPOT.api_key,
}
SOCKET_SIGNATURE = "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"


def code_of(refused: pytest.ExceptionInfo[ApiError]) -> int:
    return refused.value.code


def test_the_documented_signatures_are_accepted() -> None:
    signed_texts, signature = query_signature(f"{FUTURES_QUERY}&signature={FUTURES_SIGNATURE}", "")
    check_signature(FUTURES, signed_texts, signature)
    signed_texts, signature = query_signature("", f"{FUTURES_QUERY}&signature={FUTURES_SIGNATURE}")
    check_signature(FUTURES, signed_texts, signature)
    signed_texts, signature = query_signature(SPOT_QUERY, f"{SPOT_BODY}&signature={SPOT_SIGNATURE}")
    check_signature(SPOT, signed_texts, signature)
    signed_texts, signature = params_signature({**SOCKET_PARAMS, "signature": SOCKET_SIGNATURE})
    check_signature(SPOT, signed_texts, signature)


@given(st.integers(0, len(FUTURES_QUERY) - 1), st.integers(1, 127))
def test_a_change_of_any_character_is_detected(index: int, bits: int) -> None:
    changed = chr(ord(FUTURES_QUERY[index]) ^ bits)
    text = FUTURES_QUERY[:index] + changed + FUTURES_QUERY[index + 1 :]
    signed_texts, signature = query_signature(f"{text}&signature={FUTURES_SIGNATURE}", "")
    with pytest.raises(ApiError) as refused:
        check_signature(FUTURES, signed_texts, signature)
    assert code_of(refused) == -1022


@given(st.dictionaries(st.text("abcXYZ019_", min_size=1), st.text(), max_size=6).filter(lambda p: "signature" not in p))
def test_a_sockets_parameters_may_be_signed_escaped_or_plain(params: dict[str, str]) -> None:
    pairs = sorted(params.items())
    for text in (urlencode(pairs), "&".join(f"{name}={value}" for name, value in pairs)):
        digest = hmac.new(SPOT.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        signed_texts, signature = params_signature({**params, "signature": digest})
        check_signature(SPOT, signed_texts, signature)


@pytest.mark.parametrize("signature", ["", None])
def test_a_missing_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        check_signature(SPOT, (b"",), signature)
    assert code_of(refused) == -1102


@pytest.mark.parametrize("signature", ["x", "é", "\ud800", "0" * 64])
def test_a_wrong_signature_is_refused_whatever_its_characters(signature: str) -> None:
    with pytest.raises(ApiError) as refused:
        check_signature(SPOT, (b"",), signature.encode(errors="ignore").decode())
    assert code_of(refused) in (-1022, -1102)


@pytest.mark.parametrize(
    ("api_key", "code"), [(None, -2014), ("", -2014), ("x", -2015), ("é", -2015), ("\udcff\udcfe", -2015)]
)
def test_a_missing_or_wrong_key_is_refused(api_key: str | None, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        check_key(SPOT, api_key)
    assert (code_of(refused), refused.value.http_status) == (code, 401)
    check_key(SPOT, SPOT.api_key)


@pytest.mark.parametrize(
    ("offset_ms", "window", "code"),
    [
        (0, None, None),
        (999, None, None),
        (1_000, None, -1021),
        (1_000, "60000", -1021),
        (-5_000, None, None),
        (-5_001, None, -1021),
        (-100, "100", None),
        (-101, "100", -1021),
        (-60_000, "60000", None),
        (0, "60001", -1131),
        (0, "0", -1131),
        (0, "1.5", -1102),
        (0, "", None),
    ],
)
def test_a_timestamp_is_accepted_within_its_window(offset_ms: int, window: str | None, code: int | None) -> None:
    params = {"timestamp": str(NOW_MS + offset_ms)} | ({} if window is None else {"recvWindow": window})
    if code is None:
        check_time(params, NOW_MS)
        return
    with pytest.raises(ApiError) as refused:
        check_time(params, NOW_MS)
    assert code_of(refused) == code


@pytest.mark.parametrize("timestamp", [None, "", "soon", "-1", "1e3", "9" * 19, "１"])
def test_a_missing_or_malformed_timestamp_is_refused(timestamp: str | None) -> None:
    with pytest.raises(ApiError) as refused:
        check_time({} if timestamp is None else {"timestamp": timestamp}, NOW_MS)
    assert code_of(refused) == -1102


def test_a_listen_key_depends_on_the_key_and_does_not_reveal_its_secret() -> None:
    assert listen_key(SPOT) == listen_key(SPOT) != listen_key(FUTURES)
    assert SPOT.api_secret not in listen_key(SPOT)
