# expect: 2 cannot be imported: MemoryError (eats_memory_at_import.py:2)
FAR_TOO_MUCH = bytearray(1 << 44)
