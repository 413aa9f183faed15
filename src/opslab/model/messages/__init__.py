"""Messages between control, engine and venue."""
