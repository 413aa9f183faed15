#!/usr/bin/env bash
# Breaks runs on purpose, hundreds of times in each way there is, and prints a table: what was broken, what was found,
# and the claims that did not hold, which must be none. About two hours for all of it; see tests/breaking/README.md.
# usage: scripts/break-runs.sh [--only NAME[=N]]... [--count N] [--work FOLDER] [--seed S] [--workers N] [--json]
# Exit: 0 every claim held, 1 one did not, 130 interrupted.
set -euo pipefail

unset CDPATH PYTHONHOME PYTHONPATH
caller=$PWD
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)

"$root/scripts/bootstrap.sh"
cd -- "$root" # for `-m tests.breaking`; a relative --work is the caller's
exec .venv/bin/python -m tests.breaking --relative-to "$caller" "$@"
