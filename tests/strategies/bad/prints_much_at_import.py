# expect: 2 cannot be imported: ValueError: after many words (prints_much_at_import.py:9)
import os
import sys

for _ in range(20_000):
    print("{\"places\": [], \"keys\": []} " * 10)
    print("words " * 10, file=sys.stderr)
os.write(1, b"no newline at the end")
raise ValueError("after many words")
