#!/bin/sh
# Starts Prometheus on the loopback interface, with the configuration of this folder and the addresses of the environment.
# The same script starts it in the container and without one. It writes to $TC_STACK_RUN and $TC_STACK_DATA only.
set -eu

folder=$(dirname -- "$0")
run=${TC_STACK_RUN:-/run/opslab}
data=${TC_STACK_DATA:-/prometheus}
port=${TC_PROMETHEUS_PORT:-9090}

docs=$(printf '%s' "${TC_DOCS_URL:-http://127.0.0.1:8000}" | sed 's/[&|\\]/\\&/g; s|/*$||')
targets() { printf -- '- targets: ["%s"]\n' "$(printf '%s' "$2" | sed 's/,/", "/g')" >"$run/targets/$1.yml"; }

mkdir -p "$run/rules" "$run/targets"
cp -- "$folder/prometheus.yml" "$run/prometheus.yml"
for rules in "$folder"/rules/*.yml; do
  sed "s|http://127.0.0.1:8000/|$docs/|" "$rules" >"$run/rules/${rules##*/}"
done
targets opslab "${TC_METRICS_TARGET:-127.0.0.1:9464}"
targets alertmanager "127.0.0.1:${TC_ALERTMANAGER_PORT:-9093}"
targets prometheus "127.0.0.1:$port"

exec prometheus \
  --config.file="$run/prometheus.yml" \
  --storage.tsdb.path="$data" \
  --storage.tsdb.retention.time="${TC_PROMETHEUS_RETENTION:-15d}" \
  --web.listen-address="127.0.0.1:$port" \
  --web.external-url="http://127.0.0.1:$port"
