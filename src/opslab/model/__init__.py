"""The vocabulary: ids, specs, events, records and their canonical forms. No IO, no clock."""
