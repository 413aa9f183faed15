"""Orders and trades as the venue answers them: its field names, its texts."""

from collections.abc import Sequence
from typing import Any

from opslab.model.messages.ledger_events import Accepted
from opslab.venue.account.account import ZERO, Account, Order, Trade
from opslab.venue.account.number_format import NumberFormat, money_text
from opslab.venue.account.order_requests import HistoryQuery

Payload = dict[str, Any]


def order_answer(order: Order, texts: NumberFormat) -> Payload:
    """An order as placing, amending and canceling answer it."""
    executed = texts.size(order.executed)
    return {
        "orderId": order.order_id,
        "symbol": texts.symbol,
        "status": order.status,
        "clientOrderId": order.client_order_id,
        "price": texts.price(order.price or ZERO),
        "avgPrice": texts.fine(order.average),
        "origQty": texts.size(order.quantity),
        "executedQty": executed,
        "cumQty": executed,
        "cumQuote": texts.fine(order.quote),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": texts.price(ZERO),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": order.update_ms,
    }


def accepted_answer(event: Accepted, texts: NumberFormat) -> Payload:
    """The answer for a client that asked for word of the order's arrival alone: as if nothing had traded yet."""
    order = Order(
        order_id=event.order_id,
        client_order_id=event.client_order_id,
        side=event.side,
        type=event.type,
        time_in_force=event.time_in_force,
        quantity=event.quantity,
        price=event.price,
        reduce_only=event.reduce_only,
        time_ms=event.time_ms,
        update_ms=event.time_ms,
        turn=0,
    )
    return order_answer(order, texts)


def order_row(order: Order, texts: NumberFormat) -> Payload:
    """An order as queries have it."""
    return order_answer(order, texts) | {"time": order.time_ms}


def open_orders(account: Account, texts: NumberFormat) -> list[Payload]:
    return [order_row(order, texts) for order in account.open.values()]


def all_orders(account: Account, query: HistoryQuery, texts: NumberFormat) -> list[Payload]:
    """Ascending; the latest ones unless the query says where to begin."""
    found = [
        order for order in account.orders() if order.order_id >= (query.from_id or 0) and _within(order.time_ms, query)
    ]
    return [order_row(order, texts) for order in _cut(found, query)]


def user_trades(account: Account, query: HistoryQuery, texts: NumberFormat) -> list[Payload]:
    """Ascending; the latest ones unless the query says where to begin."""
    found = [
        trade
        for trade in account.trades
        if trade.trade_id >= (query.from_id or 0)
        and query.order_id in (None, trade.order_id)
        and _within(trade.time_ms, query)
    ]
    return [_trade_row(trade, account.opened.asset, texts) for trade in _cut(found, query)]


def _trade_row(trade: Trade, asset: str, texts: NumberFormat) -> Payload:
    return {
        "symbol": texts.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": texts.price(trade.price),
        "qty": texts.size(trade.quantity),
        "realizedPnl": money_text(trade.realized),
        "marginAsset": asset,
        "quoteQty": texts.fine(trade.price * trade.quantity),
        "commission": money_text(trade.fee),
        "commissionAsset": asset,
        "time": trade.time_ms,
        "positionSide": "BOTH",
        "buyer": trade.side == "BUY",
        "maker": trade.maker,
    }


def _within(time_ms: int, query: HistoryQuery) -> bool:
    return (query.start_ms or 0) <= time_ms and (query.end_ms is None or time_ms <= query.end_ms)


def _cut[Row](found: Sequence[Row], query: HistoryQuery) -> Sequence[Row]:
    """No more than the limit: the first ones behind a stated beginning, else the last."""
    if query.from_id is not None or query.start_ms is not None:
        return found[: query.limit]
    return found[-query.limit :]
