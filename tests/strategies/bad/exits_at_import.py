# expect: 2 cannot be imported: SystemExit: 3 (exits_at_import.py:4)
import sys

sys.exit(3)
