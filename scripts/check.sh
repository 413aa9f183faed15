#!/usr/bin/env bash
# Every check a change must pass, cheapest first; stops at the first that fails, with its exit code.
# --fast: format, lint, types, architecture and unit tests; the documentation and what starts processes is left out.
set -euo pipefail

unset CDPATH
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)

fast=
case "$#:${1:-}" in
  0:) ;;
  1:--fast) fast=yes ;;
  *)
    echo "usage: scripts/check.sh [--fast]" >&2
    exit 2
    ;;
esac

# One's own settings and keys must not decide whether the tests pass.
for name in "${!TC_@}" "${!BINANCE_@}"; do
  if [[ $name != TC_PYTHON ]]; then unset "$name"; fi
done
unset PYTHONHOME PYTHONPATH PYTEST_ADDOPTS PYTEST_PLUGINS MYPYPATH
# Hundreds of processes are started: without bytecode each would compile all that it imports (1.9 s instead of 0.7 s).
unset PYTHONDONTWRITEBYTECODE

site=$(mktemp -d)
trap 'rm -rf -- "$site"' EXIT

now_ms() { echo "$((${EPOCHREALTIME//[!0-9]/} / 1000))"; }
step() { # step NAME COMMAND...
  local name=$1 start_ms code=0 ms
  shift
  echo "== $name"
  start_ms=$(now_ms)
  "$@" || code=$?
  ms=$(($(now_ms) - start_ms))
  if ((code)); then
    printf 'check: error: %s failed (exit %d) after %d.%d s\n' "$name" "$code" "$((ms / 1000))" "$((ms % 1000 / 100))" >&2
    exit "$code"
  fi
  # pytest states its own time, and its summary is to be the last line
  if [[ $name != pytest ]]; then printf '   %d.%d s\n' "$((ms / 1000))" "$((ms % 1000 / 100))"; fi
}

step bootstrap "$root/scripts/bootstrap.sh"
cd -- "$root"
step "ruff format" .venv/bin/python -m ruff format --check .
step "ruff check" .venv/bin/python -m ruff check .
step mypy .venv/bin/python -m mypy
if [[ ! $fast ]]; then
  # not --quiet: mkdocs then does not count its warnings either, and --strict passes over a dead link
  step "mkdocs build" env NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict --site-dir "$site"
fi
pytest=(.venv/bin/python -m pytest --no-loadscope-reorder)
step pytest "${pytest[@]}" -n 2 --dist loadfile tests/architecture tests/unit
if [[ ! $fast ]]; then
  # these wait more than they compute: tests/schedule.py says what runs beside what
  step pytest "${pytest[@]}" -n 5 --dist loadgroup tests/cli tests/contract tests/integration
fi
