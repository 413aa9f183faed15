"""Run folders: journal, seal, rows, index, ownership."""
