"""Everything settled before a run starts. Writes nothing."""
