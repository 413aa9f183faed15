"""Candle, instrument, dataset."""
