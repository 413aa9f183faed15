#!/usr/bin/env bash
# From a fresh checkout to a finished, recorded run, each command shown as you would type it. Can be repeated.
# Files go to $TC_HOME, else to this checkout.
set -euo pipefail

unset CDPATH PYTHONHOME PYTHONPATH
if [[ -n ${TC_HOME:-} ]]; then
  TC_HOME=$(realpath -sm -- "$TC_HOME") # the caller's folder counts, not ours
  export TC_HOME
fi
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)

say() { printf '%s\n' "$*" >&2; }
tc() {
  say $'\n'"\$ tc $*"
  .venv/bin/tc "$@"
}

"$root/scripts/bootstrap.sh"
cd -- "$root"

tc data prepare --dataset btcusdt-sample

# --json puts the record on stdout, where we read the id; the progress stays on the terminal.
code=0
record=$(tc run backtest --spec examples/ops-smoke.yaml --json) || code=$?
if ((code)); then
  printf '%s\n' "$record"
  say "first-run: error: the backtest did not complete (exit $code)"
  exit "$code"
fi
run_id=$(.venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["run_id"])' <<<"$record")

tc run list
tc run show "$run_id"

home=${TC_HOME:-$PWD}
say ""
say "the run's files: $home/artifacts/runs/$run_id"
if [[ -d $home/artifacts/runs/$run_id ]]; then
  (cd -- "$home/artifacts/runs/$run_id" && find . -type f -printf '  %P\n' | sort >&2)
fi
say ""
say "next:  . .venv/bin/activate         then \`tc\` works without its path"
say "       tc --help                    what else it does"
say "       tc run show $run_id --json"
say "       examples/ops-smoke.yaml      the spec that was run: copy it, change it, run it"
say "       scripts/check.sh             every check of this project"
