"""Child processes seen from control."""
