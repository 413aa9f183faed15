"""YAML to run specs, with file and line."""
