"""Venue folders: ledger, event log, credentials."""
