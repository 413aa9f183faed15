"""The only importer of the engine. Sees errors, model and ports, nothing else of the lab."""
