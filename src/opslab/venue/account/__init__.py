"""The account of record: orders, margin, matching, payloads. Pure."""
