"""REST payloads of the account, with Binance's field names and number formats.

mark: the mark price, at which the position is valued.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from opslab.venue.account.account import ZERO, Account, Trade
from opslab.venue.account.margin import MAINTENANCE, MAX_LEVERAGE, MAX_NOTIONAL, Margin, margin_of
from opslab.venue.account.number_format import NumberFormat, money_text

Payload = dict[str, Any]
ALIAS = "opslab"
_CONFIG: Payload = {
    "feeTier": 0,
    "canTrade": True,
    "canDeposit": True,
    "canWithdraw": True,
    "updateTime": 0,
    "multiAssetsMargin": False,
    "tradeGroupId": -1,
}
_MAX_NOTIONAL_TEXT = f"{MAX_NOTIONAL:f}"


def account_v2(account: Account, mark: Decimal, fmt: NumberFormat) -> Payload:
    """`GET /fapi/v2/account`."""
    margin = margin_of(account, mark)
    asset = _asset(account, margin) | {"marginAvailable": True}
    position = {
        "symbol": fmt.symbol,
        "initialMargin": money_text(margin.initial),
        "maintMargin": money_text(margin.maintenance),
        "unrealizedProfit": money_text(margin.unrealized),
        "positionInitialMargin": money_text(margin.position),
        "openOrderInitialMargin": money_text(margin.orders),
        "leverage": str(account.leverage),
        "isolated": False,
        "entryPrice": fmt.precise(account.holding.entry_price),
        "breakEvenPrice": "0",
        "maxNotional": _MAX_NOTIONAL_TEXT,
        "positionSide": "BOTH",
        "positionAmt": fmt.size(account.holding.position),
        "notional": money_text(account.holding.position * mark),
        "isolatedWallet": "0",
        "updateTime": account.update_ms,
        "bidNotional": "0",
        "askNotional": "0",
    }
    return _CONFIG | {"feeBurn": False} | _totals(account, margin) | {"assets": [asset], "positions": [position]}


def account_v3(account: Account, mark: Decimal, fmt: NumberFormat) -> Payload:
    """`GET /fapi/v3/account`: includes the position if there is one, or an open order."""
    margin = margin_of(account, mark)
    position = {
        "symbol": fmt.symbol,
        "positionSide": "BOTH",
        "positionAmt": fmt.size(account.holding.position),
        "unrealizedProfit": money_text(margin.unrealized),
        "isolatedMargin": "0",
        "notional": money_text(account.holding.position * mark),
        "isolatedWallet": "0",
        "initialMargin": money_text(margin.initial),
        "maintMargin": money_text(margin.maintenance),
        "updateTime": account.update_ms,
    }
    rows = {"assets": [_asset(account, margin)], "positions": [position] if _has_position_or_orders(account) else []}
    return _totals(account, margin) | rows


def balance(account: Account, mark: Decimal) -> list[Payload]:
    """`GET /fapi/v2/balance` and `/fapi/v3/balance`: equal payloads."""
    margin = margin_of(account, mark)
    wallet = money_text(account.holding.wallet)
    return [
        {
            "accountAlias": ALIAS,
            "asset": account.opened.asset,
            "balance": wallet,
            "crossWalletBalance": wallet,
            "crossUnPnl": money_text(margin.unrealized),
            "availableBalance": _available(margin),
            "maxWithdrawAmount": _withdrawable(account, margin),
            "marginAvailable": True,
            "updateTime": account.update_ms,
        }
    ]


def position_risk_v2(account: Account, mark: Decimal, fmt: NumberFormat) -> list[Payload]:
    """`GET /fapi/v2/positionRisk`: one row for the symbol, with or without a position."""
    return [
        _position(account, mark, fmt)
        | {
            "leverage": str(account.leverage),
            "maxNotionalValue": _MAX_NOTIONAL_TEXT,
            "marginType": "cross",
            "isolatedMargin": money_text(ZERO),
            "isAutoAddMargin": "false",
        }
    ]


def position_risk_v3(account: Account, mark: Decimal, fmt: NumberFormat) -> list[Payload]:
    """`GET /fapi/v3/positionRisk`: empty without a position or an open order."""
    if not _has_position_or_orders(account):
        return []
    margin = margin_of(account, mark)
    return [
        _position(account, mark, fmt)
        | {
            "isolatedMargin": "0",
            "marginAsset": account.opened.asset,
            "initialMargin": money_text(margin.initial),
            "maintMargin": money_text(margin.maintenance),
            "positionInitialMargin": money_text(margin.position),
            "openOrderInitialMargin": money_text(margin.orders),
            "adl": 0,
            "bidNotional": "0",
            "askNotional": "0",
        }
    ]


def leverage(account: Account) -> Payload:
    """The response to `POST /fapi/v1/leverage`."""
    return {"leverage": account.leverage, "maxNotionalValue": _MAX_NOTIONAL_TEXT, "symbol": account.opened.symbol}


def leverage_bracket(symbol: str) -> Payload:
    """`GET /fapi/v1/leverageBracket` of a symbol: one bracket for every notional."""
    bracket = {
        "bracket": 1,
        "initialLeverage": MAX_LEVERAGE,
        "notionalCap": int(MAX_NOTIONAL),
        "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE),
        "cum": 0.0,
    }
    return {"symbol": symbol, "brackets": [bracket]}


def symbol_config(account: Account) -> Payload:
    """`GET /fapi/v1/symbolConfig`: one row."""
    return {
        "symbol": account.opened.symbol,
        "marginType": "CROSSED",
        "isAutoAddMargin": "false",
        "leverage": account.leverage,
        "maxNotionalValue": _MAX_NOTIONAL_TEXT,
    }


def account_config() -> Payload:
    """`GET /fapi/v1/accountConfig`."""
    return _CONFIG | {"dualSidePosition": False}


def income(account: Account) -> Iterator[Payload]:
    """`GET /fapi/v1/income`: commission and realized profit of each trade, oldest first."""
    for trade in account.trades:
        if trade.fee:
            yield _income(account, "COMMISSION", -trade.fee, trade)
        if trade.realized:
            yield _income(account, "REALIZED_PNL", trade.realized, trade)


def _income(account: Account, kind: str, amount: Decimal, trade: Trade) -> Payload:
    return {
        "symbol": account.opened.symbol,
        "incomeType": kind,
        "income": money_text(amount),
        "asset": account.opened.asset,
        "info": kind,
        "time": trade.time_ms,
        "tranId": trade.trade_id,
        "tradeId": str(trade.trade_id),
    }


def trading_status(account: Account) -> Payload:
    """`GET /fapi/v1/apiTradingStatus`: no trading rules are simulated, so that there are no indicators."""
    return {"indicators": {}, "updateTime": account.update_ms}


def commission_rate(account: Account) -> Payload:
    """`GET /fapi/v1/commissionRate`."""
    opened = account.opened
    return {
        "symbol": account.opened.symbol,
        "makerCommissionRate": f"{opened.maker_fee:f}",
        "takerCommissionRate": f"{opened.taker_fee:f}",
    }


def _position(account: Account, mark: Decimal, fmt: NumberFormat) -> Payload:
    """Fields of both versions of positionRisk. No liquidation is simulated: the liquidation price is 0."""
    holding = account.holding
    return {
        "symbol": fmt.symbol,
        "positionSide": "BOTH",
        "positionAmt": fmt.size(holding.position),
        "entryPrice": fmt.precise(holding.entry_price),
        "breakEvenPrice": "0",
        "markPrice": money_text(mark),
        "unRealizedProfit": money_text(holding.unrealized(mark)),
        "liquidationPrice": "0",
        "notional": money_text(holding.position * mark),
        "isolatedWallet": "0",
        "updateTime": account.update_ms,
    }


def _has_position_or_orders(account: Account) -> bool:
    return bool(account.holding.position or account.open)


def _available(margin: Margin) -> str:
    """Available balance; Binance shows no negative value."""
    return money_text(max(ZERO, margin.available))


def _withdrawable(account: Account, margin: Margin) -> str:
    """Withdrawable amount: without unrealized profit."""
    return money_text(max(ZERO, min(margin.available, account.holding.wallet)))


def _totals(account: Account, margin: Margin) -> Payload:
    wallet = money_text(account.holding.wallet)
    return {
        "totalInitialMargin": money_text(margin.initial),
        "totalMaintMargin": money_text(margin.maintenance),
        "totalWalletBalance": wallet,
        "totalUnrealizedProfit": money_text(margin.unrealized),
        "totalMarginBalance": money_text(margin.balance),
        "totalPositionInitialMargin": money_text(margin.position),
        "totalOpenOrderInitialMargin": money_text(margin.orders),
        "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": money_text(margin.unrealized),
        "availableBalance": _available(margin),
        "maxWithdrawAmount": _withdrawable(account, margin),
    }


def _asset(account: Account, margin: Margin) -> Payload:
    wallet = money_text(account.holding.wallet)
    return {
        "asset": account.opened.asset,
        "walletBalance": wallet,
        "unrealizedProfit": money_text(margin.unrealized),
        "marginBalance": money_text(margin.balance),
        "maintMargin": money_text(margin.maintenance),
        "initialMargin": money_text(margin.initial),
        "positionInitialMargin": money_text(margin.position),
        "openOrderInitialMargin": money_text(margin.orders),
        "crossWalletBalance": wallet,
        "crossUnPnl": money_text(margin.unrealized),
        "availableBalance": _available(margin),
        "maxWithdrawAmount": _withdrawable(account, margin),
        "updateTime": account.update_ms,
    }
