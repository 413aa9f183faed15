"""Two runs compared: inputs, results, bars, decisions, fills."""
