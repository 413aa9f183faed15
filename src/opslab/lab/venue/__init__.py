"""The loopback venue: serve it, inject faults into it, audit its ledger."""
