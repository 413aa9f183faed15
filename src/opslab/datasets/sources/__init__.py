"""Candle files of each kind, read in column batches."""
