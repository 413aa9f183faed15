"""One run's folder as control keeps and reads it."""
