"""Two account snapshots held against each other: pure functions of them and of an instant."""
