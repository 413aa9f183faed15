"""Control side of the venue: control socket, account snapshot, flatten, orphan policy."""
