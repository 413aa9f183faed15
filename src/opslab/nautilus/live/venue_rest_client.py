"""Query and flatten the account over the venue's REST API, bypassing the engine.

Blocking, with short timeouts: not for the engine's thread.
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
    """The venue did not answer, or not with the expected response."""


@dataclass(frozen=True, slots=True)
class OpenExposure:
    """Open orders and position of one instrument, as the venue reports them."""

    orders: int
    """Number of open orders."""
    position: Decimal
    """Negative is short."""

    @property
    def flat(self) -> bool:
        return not self.orders and not self.position


class VenueRestClient:
    def __init__(self, endpoints: VenueEndpoints, symbol: str, clock: Clock) -> None:
        """Raises Usage when the URL of the venue is not a loopback URL."""
        self._url = LoopbackUrl(endpoints.rest_url)
        self._key, self._secret = endpoints.api_key, endpoints.api_secret.encode()
        self._symbol = symbol
        self._clock = clock

    def exposure(self) -> OpenExposure:
        """Raises VenueUnreachable."""
        orders = self._request("GET", "/fapi/v1/openOrders")
        positions = self._request("GET", "/fapi/v2/positionRisk")
        try:
            return OpenExposure(len(orders), sum((Decimal(row["positionAmt"]) for row in positions), Decimal(0)))
        except (KeyError, TypeError, ArithmeticError) as error:
            raise VenueUnreachable(f"unexpected response body: {error!r}") from None

    def cancel_all(self) -> None:
        """Raises VenueUnreachable."""
        self._request("DELETE", "/fapi/v1/allOpenOrders")

    def reduce(self, position: Decimal) -> None:
        """Send a reduce-only market order for the whole position. Raises VenueUnreachable."""
        side = "SELL" if position > 0 else "BUY"
        parameters = {
            "side": side,
            "type": "MARKET",
            "quantity": f"{abs(position):f}",
            "reduceOnly": "true",
            "newClientOrderId": f"{FLATTEN_PREFIX}rest-{self._clock.now_ns() // NS_PER_MS}",
        }
        self._request("POST", "/fapi/v1/order", parameters)

    def _request(self, method: str, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        now_ms = self._clock.now_ns() // NS_PER_MS
        query = urlencode({"symbol": self._symbol, **(parameters or {}), "timestamp": now_ms})
        signature = hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection(self._url.host, self._url.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, f"{path}?{query}&signature={signature}", headers={"X-MBX-APIKEY": self._key})
            response = connection.getresponse()
            body = response.read()
            if response.status != http.HTTPStatus.OK:
                raise VenueUnreachable(f"{method} {path}: status {response.status}")
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise VenueUnreachable(f"{method} {path}: {error}") from None
        finally:
            connection.close()


def flatten_once(client: VenueRestClient) -> bool:
    """One round of closing and cancelling; whether the venue then reports flat. Raises VenueUnreachable."""
    exposure = client.exposure()
    if exposure.flat:
        return True
    if exposure.position:
        client.reduce(exposure.position)
    if exposure.orders:
        client.cancel_all()
    return client.exposure().flat
