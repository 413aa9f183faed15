"""`tc drill`."""
