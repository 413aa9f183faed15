"""Candles: where they come from, whether they are whole, what they are identified by. The home of pyarrow."""
