"""The documentation lists exactly the endpoints and methods that are served."""

import re
from pathlib import Path

from opslab.model.market.instrument import instrument_of
from opslab.model.messages.venue_messages import VenueLimits
from opslab.ports import Moment
from opslab.resources import exchange_info_symbol
from opslab.venue.account.account import Account
from opslab.venue.counters import Counters
from opslab.venue.endpoints.account import AccountEndpoints
from opslab.venue.endpoints.market import MarketEndpoints
from opslab.venue.exchange import Exchange
from opslab.venue.fault_hooks import FaultHooks
from opslab.venue.market.market import Market
from opslab.venue.market.payloads import MarketPayloads
from opslab.venue.market_publisher import MarketPublisher
from opslab.venue.transport.endpoint import EndpointTable
from opslab.venue.transport.market_streams import MarketStreams
from opslab.venue.transport.trading_socket import METHODS
from opslab.venue.transport.user_data_stream import UserDataStream
from tests.fakes.account_at_price import opened

PAGE = (Path(__file__).parents[4] / "docs" / "venue.md").read_text(encoding="utf-8")


def tables() -> tuple[EndpointTable, EndpointTable]:
    market = Market(instrument_of(exchange_info_symbol("BTCUSDT")), 30)
    payloads = MarketPayloads(market)
    publisher = MarketPublisher(market, payloads, MarketStreams("BTCUSDT"), lambda: 0)
    account = Account.from_opened(opened())
    exchange = Exchange(market, account, NoLedger(), publisher, lambda: 0, Moment(0, 0), FaultHooks(), Counters())
    market_table = MarketEndpoints(market, payloads, VenueLimits(), lambda: 0, lambda: "TRADING").table()
    return market_table, AccountEndpoints(exchange, UserDataStream("key", lambda: 0)).table()


class NoLedger:
    transactions = 0

    def append(self, events: object, at: Moment) -> None:
        raise AssertionError("unexpected call")

    def mark(self, at: Moment) -> None:
        raise AssertionError("unexpected call")

    def use_reserve(self) -> None:
        raise AssertionError("unexpected call")


def section(heading: str) -> str:
    match = re.search(rf"^### {heading}$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


def endpoints(heading: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^\| `(GET|POST|PUT|DELETE) (/\S+)` \|", section(heading), re.MULTILINE))


def test_the_page_names_the_endpoints_that_are_served() -> None:
    market, account = tables()
    assert endpoints("Market") == set(market)
    assert endpoints("Account and orders") == set(account)


def test_the_page_names_the_methods_of_the_trading_socket() -> None:
    cells = re.findall(r"^\| (`.*?) \|", section("Trading socket"), re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`([\w./]+)`", cell)} == set(METHODS)


def test_every_method_of_the_trading_socket_leads_to_an_endpoint() -> None:
    market, account = tables()
    assert set(METHODS.values()) <= set(market) | set(account)
