"""Base types: ids, instants, canonical forms, exact JSON."""
