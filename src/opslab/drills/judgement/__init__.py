"""The verdict of a drill, from its record alone. Pure."""
