"""Read candle files of every format in column batches."""
