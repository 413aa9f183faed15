"""Read run specs from YAML; every mistake has its file and line."""
