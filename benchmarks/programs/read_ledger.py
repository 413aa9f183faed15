"""usage: read_ledger.py FILE

The yardstick of a restart: every line of a ledger parsed, its digest compared with `prev` of the next line.
"""

import hashlib
import json
import sys


def main(path: str) -> None:
    prev, lines = None, 0
    with open(path, "rb") as stream:
        for line in stream:
            if json.loads(line)["prev"] != prev:
                raise SystemExit(f"line {lines + 1} does not follow the one before")
            prev, lines = f"sha256:{hashlib.sha256(line).hexdigest()}", lines + 1
    print(json.dumps({"lines": lines}))


if __name__ == "__main__":
    main(sys.argv[1])
