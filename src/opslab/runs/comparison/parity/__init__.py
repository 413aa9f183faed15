"""A paper run beside another run on the same candles: bars, decisions, fills."""
