"""The account as the venue answers it: its field names, its texts.

mark: the mark price, at which a position is worth what is said of it.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from opslab.venue.account.account import ZERO, Account, Trade
from opslab.venue.account.margin import MAINTENANCE, MOST_LEVERAGE, MOST_NOTIONAL, Margin, margin_of
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
_MOST_NOTIONAL = f"{MOST_NOTIONAL:f}"


def account_v2(account: Account, mark: Decimal, texts: NumberFormat) -> Payload:
    """`GET /fapi/v2/account`."""
    found = margin_of(account, mark)
    asset = _asset(account, found) | {"marginAvailable": True}
    position = {
        "symbol": texts.symbol,
        "initialMargin": money_text(found.initial),
        "maintMargin": money_text(found.maintenance),
        "unrealizedProfit": money_text(found.unrealized),
        "positionInitialMargin": money_text(found.position),
        "openOrderInitialMargin": money_text(found.orders),
        "leverage": str(account.leverage),
        "isolated": False,
        "entryPrice": texts.fine(account.holding.entry),
        "breakEvenPrice": "0",
        "maxNotional": _MOST_NOTIONAL,
        "positionSide": "BOTH",
        "positionAmt": texts.size(account.holding.position),
        "notional": money_text(account.holding.position * mark),
        "isolatedWallet": "0",
        "updateTime": account.update_ms,
        "bidNotional": "0",
        "askNotional": "0",
    }
    return _CONFIG | {"feeBurn": False} | _totals(account, found) | {"assets": [asset], "positions": [position]}


def account_v3(account: Account, mark: Decimal, texts: NumberFormat) -> Payload:
    """`GET /fapi/v3/account`: a position is told of when there is one, or an open order."""
    found = margin_of(account, mark)
    position = {
        "symbol": texts.symbol,
        "positionSide": "BOTH",
        "positionAmt": texts.size(account.holding.position),
        "unrealizedProfit": money_text(found.unrealized),
        "isolatedMargin": "0",
        "notional": money_text(account.holding.position * mark),
        "isolatedWallet": "0",
        "initialMargin": money_text(found.initial),
        "maintMargin": money_text(found.maintenance),
        "updateTime": account.update_ms,
    }
    rows = {"assets": [_asset(account, found)], "positions": [position] if _concerned(account) else []}
    return _totals(account, found) | rows


def balance(account: Account, mark: Decimal) -> list[Payload]:
    """`GET /fapi/v2/balance` and `/fapi/v3/balance`, which are alike."""
    found = margin_of(account, mark)
    wallet = money_text(account.holding.wallet)
    return [
        {
            "accountAlias": ALIAS,
            "asset": account.opened.asset,
            "balance": wallet,
            "crossWalletBalance": wallet,
            "crossUnPnl": money_text(found.unrealized),
            "availableBalance": _available(found),
            "maxWithdrawAmount": _withdrawable(account, found),
            "marginAvailable": True,
            "updateTime": account.update_ms,
        }
    ]


def position_risk_v2(account: Account, mark: Decimal, texts: NumberFormat) -> list[Payload]:
    """`GET /fapi/v2/positionRisk`: the symbol, with a position or without one."""
    return [
        _position(account, mark, texts)
        | {
            "leverage": str(account.leverage),
            "maxNotionalValue": _MOST_NOTIONAL,
            "marginType": "cross",
            "isolatedMargin": money_text(ZERO),
            "isAutoAddMargin": "false",
        }
    ]


def position_risk_v3(account: Account, mark: Decimal, texts: NumberFormat) -> list[Payload]:
    """`GET /fapi/v3/positionRisk`: nothing without a position or an open order."""
    if not _concerned(account):
        return []
    found = margin_of(account, mark)
    return [
        _position(account, mark, texts)
        | {
            "isolatedMargin": "0",
            "marginAsset": account.opened.asset,
            "initialMargin": money_text(found.initial),
            "maintMargin": money_text(found.maintenance),
            "positionInitialMargin": money_text(found.position),
            "openOrderInitialMargin": money_text(found.orders),
            "adl": 0,
            "bidNotional": "0",
            "askNotional": "0",
        }
    ]


def leverage(account: Account) -> Payload:
    """The answer to `POST /fapi/v1/leverage`."""
    return {"leverage": account.leverage, "maxNotionalValue": _MOST_NOTIONAL, "symbol": account.opened.symbol}


def leverage_bracket(symbol: str) -> Payload:
    """`GET /fapi/v1/leverageBracket` of a symbol: one bracket, for every notional that can be held."""
    bracket = {
        "bracket": 1,
        "initialLeverage": MOST_LEVERAGE,
        "notionalCap": int(MOST_NOTIONAL),
        "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE),
        "cum": 0.0,
    }
    return {"symbol": symbol, "brackets": [bracket]}


def symbol_config(account: Account) -> Payload:
    """`GET /fapi/v1/symbolConfig`: one row of it."""
    return {
        "symbol": account.opened.symbol,
        "marginType": "CROSSED",
        "isAutoAddMargin": "false",
        "leverage": account.leverage,
        "maxNotionalValue": _MOST_NOTIONAL,
    }


def account_config() -> Payload:
    """`GET /fapi/v1/accountConfig`."""
    return _CONFIG | {"dualSidePosition": False}


def income(account: Account) -> Iterator[Payload]:
    """`GET /fapi/v1/income`: what each trade cost, and what it realized; oldest first."""
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
    """`GET /fapi/v1/apiTradingStatus`: there are no such rules here, so that there is no indicator of one."""
    return {"indicators": {}, "updateTime": account.update_ms}


def commission_rate(account: Account) -> Payload:
    """`GET /fapi/v1/commissionRate`."""
    opened = account.opened
    return {
        "symbol": account.opened.symbol,
        "makerCommissionRate": f"{opened.maker_fee:f}",
        "takerCommissionRate": f"{opened.taker_fee:f}",
    }


def _position(account: Account, mark: Decimal, texts: NumberFormat) -> Payload:
    """What both versions of positionRisk share. There is no liquidation here, so there is no price of it."""
    holding = account.holding
    return {
        "symbol": texts.symbol,
        "positionSide": "BOTH",
        "positionAmt": texts.size(holding.position),
        "entryPrice": texts.fine(holding.entry),
        "breakEvenPrice": "0",
        "markPrice": money_text(mark),
        "unRealizedProfit": money_text(holding.unrealized(mark)),
        "liquidationPrice": "0",
        "notional": money_text(holding.position * mark),
        "isolatedWallet": "0",
        "updateTime": account.update_ms,
    }


def _concerned(account: Account) -> bool:
    return bool(account.holding.position or account.open)


def _available(found: Margin) -> str:
    """The venue shows nothing below zero."""
    return money_text(max(ZERO, found.available))


def _withdrawable(account: Account, found: Margin) -> str:
    """Profit that is not realized cannot be taken out."""
    return money_text(max(ZERO, min(found.available, account.holding.wallet)))


def _totals(account: Account, found: Margin) -> Payload:
    wallet = money_text(account.holding.wallet)
    return {
        "totalInitialMargin": money_text(found.initial),
        "totalMaintMargin": money_text(found.maintenance),
        "totalWalletBalance": wallet,
        "totalUnrealizedProfit": money_text(found.unrealized),
        "totalMarginBalance": money_text(found.balance),
        "totalPositionInitialMargin": money_text(found.position),
        "totalOpenOrderInitialMargin": money_text(found.orders),
        "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": money_text(found.unrealized),
        "availableBalance": _available(found),
        "maxWithdrawAmount": _withdrawable(account, found),
    }


def _asset(account: Account, found: Margin) -> Payload:
    wallet = money_text(account.holding.wallet)
    return {
        "asset": account.opened.asset,
        "walletBalance": wallet,
        "unrealizedProfit": money_text(found.unrealized),
        "marginBalance": money_text(found.balance),
        "maintMargin": money_text(found.maintenance),
        "initialMargin": money_text(found.initial),
        "positionInitialMargin": money_text(found.position),
        "openOrderInitialMargin": money_text(found.orders),
        "crossWalletBalance": wallet,
        "crossUnPnl": money_text(found.unrealized),
        "availableBalance": _available(found),
        "maxWithdrawAmount": _withdrawable(account, found),
        "updateTime": account.update_ms,
    }
