"""Carry out a drill: runs as processes, faults, restoration, the record."""
