"""Candle datasets: sources, quality, storage and fingerprints. The only package that imports pyarrow."""
