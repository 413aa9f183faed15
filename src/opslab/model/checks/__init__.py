"""Records of checks, comparisons and connectivity."""
