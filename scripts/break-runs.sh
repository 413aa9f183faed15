#!/usr/bin/env bash
# Injects failures into runs, hundreds of times in each experiment, and prints a table: the experiments, the observations
# and the violated claims, of which there must be none. All of it takes about four hours; see tests/breaking/README.md.
# usage: scripts/break-runs.sh [--only NAME[=N]]... [--count N] [--work FOLDER] [--seed S] [--workers N] [--json]
# Exit: 0 every claim holds, 1 a claim is violated, 130 interrupted.
set -euo pipefail

unset CDPATH PYTHONHOME PYTHONPATH
caller=$PWD
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)

"$root/scripts/bootstrap.sh"
cd -- "$root" # for `-m tests.breaking`; a relative --work is relative to the caller's folder
exec .venv/bin/python -m tests.breaking --relative-to "$caller" "$@"
