"""The control socket and what it offers: snapshot, flatten, orphan policy."""
