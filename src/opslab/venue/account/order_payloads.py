"""REST payloads of orders and trades, with Binance's field names and number formats."""

from collections.abc import Sequence
from typing import Any

from opslab.model.messages.ledger_events import Accepted
from opslab.venue.account.account import ZERO, Account, Order, Trade
from opslab.venue.account.number_format import NumberFormat, money_text
from opslab.venue.account.order_requests import HistoryQuery

Payload = dict[str, Any]


def order_response(order: Order, fmt: NumberFormat) -> Payload:
    """An order in the response to placing, amending and canceling."""
    executed = fmt.size(order.executed)
    return {
        "orderId": order.order_id,
        "symbol": fmt.symbol,
        "status": order.status,
        "clientOrderId": order.client_order_id,
        "price": fmt.price(order.price or ZERO),
        "avgPrice": fmt.precise(order.average_price),
        "origQty": fmt.size(order.quantity),
        "executedQty": executed,
        "cumQty": executed,
        "cumQuote": fmt.precise(order.quote),
        "timeInForce": order.time_in_force,
        "type": order.type,
        "reduceOnly": order.reduce_only,
        "closePosition": False,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": fmt.price(ZERO),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": order.type,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "NONE",
        "goodTillDate": 0,
        "updateTime": order.update_ms,
    }


def accepted_response(event: Accepted, fmt: NumberFormat) -> Payload:
    """The response for `newOrderRespType=ACK`: the order before any fill."""
    return order_response(Order.accepted(event, priority=0), fmt)


def order_row(order: Order, fmt: NumberFormat) -> Payload:
    """An order in the response to a query."""
    return order_response(order, fmt) | {"time": order.time_ms}


def open_orders(account: Account, fmt: NumberFormat) -> list[Payload]:
    return [order_row(order, fmt) for order in account.open.values()]


def all_orders(account: Account, query: HistoryQuery, fmt: NumberFormat) -> list[Payload]:
    """Ascending; the latest rows unless the query has a start."""
    orders = [
        order for order in account.orders() if order.order_id >= (query.from_id or 0) and _within(order.time_ms, query)
    ]
    return [order_row(order, fmt) for order in _limited(orders, query)]


def user_trades(account: Account, query: HistoryQuery, fmt: NumberFormat) -> list[Payload]:
    """Ascending; the latest rows unless the query has a start."""
    trades = [
        trade
        for trade in account.trades
        if trade.trade_id >= (query.from_id or 0)
        and query.order_id in (None, trade.order_id)
        and _within(trade.time_ms, query)
    ]
    return [_trade_row(trade, account.opened.asset, fmt) for trade in _limited(trades, query)]


def _trade_row(trade: Trade, asset: str, fmt: NumberFormat) -> Payload:
    return {
        "symbol": fmt.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "side": trade.side,
        "price": fmt.price(trade.price),
        "qty": fmt.size(trade.quantity),
        "realizedPnl": money_text(trade.realized),
        "marginAsset": asset,
        "quoteQty": fmt.precise(trade.price * trade.quantity),
        "commission": money_text(trade.fee),
        "commissionAsset": asset,
        "time": trade.time_ms,
        "positionSide": "BOTH",
        "buyer": trade.side == "BUY",
        "maker": trade.maker,
    }


def _within(time_ms: int, query: HistoryQuery) -> bool:
    return (query.start_ms or 0) <= time_ms and (query.end_ms is None or time_ms <= query.end_ms)


def _limited[Row](rows: Sequence[Row], query: HistoryQuery) -> Sequence[Row]:
    """At most `query.limit` rows: the first ones if the query has a start, otherwise the last."""
    if query.from_id is not None or query.start_ms is not None:
        return rows[: query.limit]
    return rows[-query.limit :]
