"""usage: read_runs.py RUNS_FOLDER

The yardstick of a list: the metadata of every run, parsed, without an index and without any check.
"""

import json
import os
import sys


def main(folder: str) -> None:
    statuses: dict[str, int] = {}
    for run in os.scandir(folder):
        path = f"{run.path}/metadata.json"
        os.stat(path)  # noqa: PTH116  (the cheapest call)
        with open(path, "rb") as stream:
            status = json.loads(stream.read())["status"]
        statuses[status] = statuses.get(status, 0) + 1
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(sys.argv[1])
