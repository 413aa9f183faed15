"""Orders with which an exchange closes a position by force: Binance marks them by their client order ids."""

from typing import Literal

ForcedCloseKind = Literal["liquidation", "adl", "settlement"]
"""`adl`: auto-deleveraging. `settlement`: of a contract that is delisted or delivered."""

_PREFIXES: dict[ForcedCloseKind, str] = {
    "liquidation": "autoclose-",
    "adl": "adl_autoclose",
    "settlement": "settlement_autoclose-",
}


def forced_close_kind(client_order_id: str) -> ForcedCloseKind | None:
    """client_order_id: as on the wire. None: of another order."""
    return next((kind for kind, prefix in _PREFIXES.items() if client_order_id.startswith(prefix)), None)


def forced_close_id(kind: ForcedCloseKind, number: int) -> str:
    """number: distinguishes the orders of one venue; the id of an ADL order is constant."""
    return _PREFIXES[kind] if kind == "adl" else f"{_PREFIXES[kind]}{number}"
