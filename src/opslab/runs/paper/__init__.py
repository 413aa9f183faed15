"""A paper run: supervision of engine and venue, shutdown, results."""
