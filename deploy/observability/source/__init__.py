"""Python from which files of the stack are generated; `scripts/observability_files.py` writes them."""
