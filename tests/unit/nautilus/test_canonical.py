"""An order event in the journal: without what differs from run to run or says nothing."""

from opslab.nautilus.canonical import event_row

OWN = "BTCUSDT-PERP.BINANCE"
EVENT = {"type": "OrderDenied", "client_order_id": "O-1", "event_id": "e", "ts_event": 1, "ts_init": 2, "info": {}}


def test_what_has_no_value_or_is_the_runs_own_is_left_out() -> None:
    row = event_row({**EVENT, "instrument_id": OWN, "price": None, "post_only": False, "quantity": "0"}, OWN)
    assert row == {"type": "OrderDenied", "client_order_id": "O-1", "ts_event": 1, "quantity": "0"}


def test_an_order_of_another_instrument_names_it() -> None:
    assert event_row({**EVENT, "instrument_id": "ETHUSDT-PERP.BINANCE"}, OWN)["instrument_id"] == "ETHUSDT-PERP.BINANCE"
