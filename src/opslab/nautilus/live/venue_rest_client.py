"""The venue's REST side, asked past the engine: what is open, and the means to end it when the engine cannot.

Blocking, with short timeouts: for threads beside the engine's.
"""

import hashlib
import hmac
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from opslab.model.messages.venue_messages import FLATTEN_PREFIX, VenueEndpoints
from opslab.model.primitives.instant import NS_PER_MS
from opslab.model.primitives.loopback_url import LoopbackUrl
from opslab.ports import Clock

TIMEOUT_SECONDS = 1.0


class VenueUnreachable(Exception):
    """The venue did not answer, or not with what was asked for."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the venue says is open of one instrument."""

    orders: int
    position: Decimal
    """Negative is short."""

    @property
    def flat(self) -> bool:
        return not self.orders and not self.position


class VenueRestClient:
    def __init__(self, endpoints: VenueEndpoints, symbol: str, clock: Clock) -> None:
        """Raises Usage when the venue is not on this machine."""
        self._url = LoopbackUrl(endpoints.rest_url)
        self._key, self._secret = endpoints.api_key, endpoints.api_secret.encode()
        self._symbol = symbol
        self._clock = clock

    def account(self) -> AccountState:
        """Raises Unanswered."""
        orders = self._request("GET", "/fapi/v1/openOrders")
        positions = self._request("GET", "/fapi/v2/positionRisk")
        try:
            return AccountState(len(orders), sum((Decimal(row["positionAmt"]) for row in positions), Decimal(0)))
        except (KeyError, TypeError, ArithmeticError) as error:
            raise VenueUnreachable(f"an answer of another shape: {error!r}") from None

    def cancel_all(self) -> None:
        """Raises Unanswered."""
        self._request("DELETE", "/fapi/v1/allOpenOrders")

    def reduce(self, position: Decimal) -> None:
        """A market order that can only make the position smaller, for all of it. Raises Unanswered."""
        side = "SELL" if position > 0 else "BUY"
        parameters = {
            "side": side,
            "type": "MARKET",
            "quantity": f"{abs(position):f}",
            "reduceOnly": "true",
            "newClientOrderId": f"{FLATTEN_PREFIX}past-{self._clock.now_ns() // NS_PER_MS}",
        }
        self._request("POST", "/fapi/v1/order", parameters)

    def _request(self, method: str, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        now_ms = self._clock.now_ns() // NS_PER_MS
        query = urlencode({"symbol": self._symbol, **(parameters or {}), "timestamp": now_ms})
        signature = hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection(self._url.host, self._url.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, f"{path}?{query}&signature={signature}", headers={"X-MBX-APIKEY": self._key})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise VenueUnreachable(f"{method} {path} was answered with {answer.status}")
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise VenueUnreachable(f"{method} {path}: {error}") from None
        finally:
            connection.close()


def flatten(client: VenueRestClient) -> bool:
    """One round past the engine; whether the venue then said that nothing is open. Raises Unanswered."""
    account = client.account()
    if account.flat:
        return True
    if account.position:
        client.reduce(account.position)
    if account.orders:
        client.cancel_all()
    return client.account().flat
