"""A backtest, from claimed folder to seal."""
