"""Records of one run: metadata, events, results, seal."""
