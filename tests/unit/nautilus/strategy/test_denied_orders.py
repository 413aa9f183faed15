"""The journal's description of a request that the closed gate denied."""

from opslab.nautilus.strategy.denied_orders import denied_request


class Order:
    client_order_id, side, order_type, quantity, price = "O-1", "OrderSide.BUY", "OrderType.LIMIT", "0.010", None


class OrderList:
    orders = (1, 2)


def test_a_denied_request_is_described_in_text_and_numbers() -> None:
    assert denied_request("submit_order", (Order(),), {}) == {
        "call": "submit_order", "client_order_id": "O-1", "side": "BUY", "order_type": "LIMIT", "quantity": "0.010",
    }  # fmt: skip
    assert denied_request("submit_order_list", (), {"order_list": OrderList()}) == {
        "call": "submit_order_list", "orders": 2,
    }  # fmt: skip
    assert denied_request("market_exit", (), {}) == {"call": "market_exit"}
    assert denied_request("submit_order", (object(),), {}) == {"call": "submit_order"}
