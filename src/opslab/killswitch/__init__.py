"""The kill switch: its files, states and watcher."""
