#!/usr/bin/env bash
# From a fresh checkout to a finished, recorded run; prints each command as it is typed. Can be repeated.
# Files go to $TC_HOME, else to this checkout.
set -euo pipefail

unset CDPATH PYTHONHOME PYTHONPATH
if [[ -n ${TC_HOME:-} ]]; then
  TC_HOME=$(realpath -sm -- "$TC_HOME") # relative to the caller's folder
  export TC_HOME
fi
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)

log() { printf '%s\n' "$*" >&2; }
tc() {
  log $'\n'"\$ tc $*"
  .venv/bin/tc "$@"
}

"$root/scripts/bootstrap.sh"
cd -- "$root"

tc data prepare --dataset btcusdt-sample

# --json prints the record on stdout, for the run id below; progress goes to the terminal.
code=0
record=$(tc run backtest --spec examples/ops-smoke.yaml --json) || code=$?
if ((code)); then
  printf '%s\n' "$record"
  log "first-run: error: the backtest did not complete (exit $code)"
  exit "$code"
fi
run_id=$(.venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["run_id"])' <<<"$record")

tc run list
tc run show "$run_id"

home=${TC_HOME:-$PWD}
log ""
log "the run's files: $home/artifacts/runs/$run_id"
if [[ -d $home/artifacts/runs/$run_id ]]; then
  (cd -- "$home/artifacts/runs/$run_id" && find . -type f -printf '  %P\n' | sort >&2)
fi
log ""
log "next:  . .venv/bin/activate         then \`tc\` works without a path"
log "       tc --help                    all commands"
log "       tc run show $run_id --json"
log "       examples/ops-smoke.yaml      the spec of this run: copy, change and run it"
log "       scripts/check.sh             every check of this project"
