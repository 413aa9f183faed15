"""User-data stream events: `ORDER_TRADE_UPDATE`, `ACCOUNT_UPDATE`, `ACCOUNT_CONFIG_UPDATE`, `MARGIN_CALL`."""

from decimal import Decimal
from typing import Any

from opslab.model.messages.forced_close import forced_close_kind
from opslab.model.messages.ledger_events import Accepted, Amended, Canceled, Expired, Filled, LedgerEvent, LeverageSet
from opslab.venue.account.account import ZERO, Account, Order
from opslab.venue.account.margin import margin_of
from opslab.venue.account.number_format import NumberFormat, money_text

Payload = dict[str, Any]
_EXECUTION = {
    "accepted": "NEW",
    "filled": "TRADE",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
    "amended": "AMENDMENT",
}
_EXPIRE_REASON = {None: "0", "ioc": "2", "reduce_only": "4", "liquidation": "5", "delisting": "7", "market": "9"}
_FORCED_CLOSE = {"o": "LIQUIDATION", "ot": "LIQUIDATION", "f": "IOC"}
"""Fields of an order with which the exchange closes a position by force."""


def user_data_events(
    account: Account, event: LedgerEvent, mark: Decimal, now_ms: int, fmt: NumberFormat
) -> list[Payload]:
    """Build the stream events of one ledger event, in sending order. Call it directly after applying the event."""
    match event:
        case Filled():
            return [_account_update(account, event, mark, now_ms, fmt), _order_update(account, event, now_ms, fmt)]
        case Accepted() | Canceled() | Expired() | Amended():
            return [_order_update(account, event, now_ms, fmt)]
        case LeverageSet():
            config = {"s": fmt.symbol, "l": event.leverage}
            return [{"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": event.time_ms, "ac": config}]
        case _:
            return []


def margin_call(account: Account, mark: Decimal, now_ms: int, fmt: NumberFormat) -> Payload:
    """The call for margin of the account's position, in cross margin."""
    margin = margin_of(account, mark)
    position = {
        "s": fmt.symbol,
        "ps": "BOTH",
        "pa": fmt.size(account.holding.position),
        "mt": "CROSSED",
        "iw": "0",
        "mp": money_text(mark),
        "up": money_text(margin.unrealized),
        "mm": money_text(margin.maintenance),
    }
    return {"e": "MARGIN_CALL", "E": now_ms, "cw": money_text(account.holding.wallet), "p": [position]}


def _order_update(
    account: Account, event: Accepted | Filled | Canceled | Expired | Amended, now_ms: int, fmt: NumberFormat
) -> Payload:
    order = account.open.get(event.order_id) or account.closed[event.order_id]
    fill = event if isinstance(event, Filled) else None
    row: Payload = {
        "s": fmt.symbol,
        "c": order.client_order_id,
        "S": order.side,
        "o": order.type,
        "f": order.time_in_force,
        "q": fmt.size(order.quantity),
        "p": fmt.price(order.price or ZERO),
        "ap": fmt.precise(order.average_price),
        "sp": fmt.price(ZERO),
        "x": _EXECUTION[event.kind],
        "X": order.status,
        "i": order.order_id,
        "l": fmt.size(fill.quantity if fill else ZERO),
        "z": fmt.size(order.executed),
        "L": fmt.price(fill.price if fill else ZERO),
        "T": event.time_ms,
        "t": fill.trade_id if fill else 0,
        "b": _notional(account, "BUY", fmt),
        "a": _notional(account, "SELL", fmt),
        "m": fill.maker if fill else False,
        "R": order.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order.type,
        "ps": "BOTH",
        "cp": False,
        "rp": money_text(fill.realized if fill else ZERO),
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "pm": "NONE",
        "gtd": 0,
        "er": _EXPIRE_REASON[order.expire_reason],
    }
    if forced_close_kind(order.client_order_id):
        row |= _FORCED_CLOSE | ({"x": "CALCULATED"} if fill else {})
    if fill:
        row |= {"N": account.opened.asset, "n": money_text(fill.fee)}
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": event.time_ms, "o": row}


def _account_update(account: Account, event: Filled, mark: Decimal, now_ms: int, fmt: NumberFormat) -> Payload:
    holding = account.holding
    wallet = money_text(holding.wallet)
    position = {
        "s": fmt.symbol,
        "pa": fmt.size(holding.position),
        "ep": fmt.precise(holding.entry_price),
        "bep": "0",
        "cr": money_text(account.realized),
        "up": money_text(holding.unrealized(mark)),
        "mt": "cross",
        "iw": "0",
        "ps": "BOTH",
        "ma": account.opened.asset,
    }
    balance = {"a": account.opened.asset, "wb": wallet, "cw": wallet, "bc": "0"}
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": event.time_ms,
        "a": {"m": "ORDER", "B": [balance], "P": [position]},
    }


def _notional(account: Account, side: str, fmt: NumberFormat) -> str:
    """Notional of the open orders of one side."""
    open_of_side = (order for order in account.open.values() if order.side == side)
    return fmt.precise(sum((_open_notional(order) for order in open_of_side), ZERO))


def _open_notional(order: Order) -> Decimal:
    return order.remaining * (order.price or ZERO)
