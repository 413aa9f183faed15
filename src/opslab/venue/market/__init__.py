"""The market: candles, simulated ticks, order book, payloads. Pure."""
