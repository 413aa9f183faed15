"""The run spec and its values."""
