"""Quality rules for candles, and their findings."""
