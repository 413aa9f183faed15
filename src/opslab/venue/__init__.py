"""The loopback exchange: Binance USD-M futures as a client sees it, with the account of record."""
