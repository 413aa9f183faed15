"""`tc venue`: serve the venue, inject faults into it, audit its ledger."""
