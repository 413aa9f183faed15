#!/bin/sh
# Starts Grafana in its container with the dashboards of this folder, whose links lead to $TC_DOCS_URL.
set -eu

folder=$(dirname -- "$0")
run=${TC_STACK_RUN:-/run/opslab}
docs=$(printf '%s' "${TC_DOCS_URL:-http://127.0.0.1:8000}" | sed 's/[&|\\]/\\&/g; s|/*$||')

mkdir -p "$run/dashboards"
for dashboard in "$folder"/dashboards/*.json; do
  sed "s|http://127.0.0.1:8000/|$docs/|g" "$dashboard" >"$run/dashboards/${dashboard##*/}"
done

exec /run.sh
