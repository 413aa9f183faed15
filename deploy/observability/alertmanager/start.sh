#!/bin/sh
# Starts Alertmanager on the loopback interface, with the configuration of this folder. The same script starts it in the
# container and without one. It writes to $TC_STACK_RUN and $TC_STACK_DATA only.
set -eu

folder=$(dirname -- "$0")
run=${TC_STACK_RUN:-/run/opslab}
data=${TC_STACK_DATA:-/alertmanager}
port=${TC_ALERTMANAGER_PORT:-9093}

replaced() { printf '%s' "$1" | sed 's/[&|\\]/\\&/g'; }

mkdir -p "$run"
if [ -n "${TC_ALERT_WEBHOOK_URL:-}" ]; then
  webhook="webhook_configs: [{url: \"$(replaced "$TC_ALERT_WEBHOOK_URL")\", send_resolved: true}]"
else
  webhook='webhook_configs: []'
fi
sed "s|webhook_configs: \[\]|$webhook|" "$folder/alertmanager.yml" >"$run/alertmanager.yml"

exec "${TC_ALERTMANAGER_PROGRAM:-alertmanager}" \
  --config.file="$run/alertmanager.yml" \
  --storage.path="$data" \
  --web.listen-address="127.0.0.1:$port" \
  --web.external-url="http://127.0.0.1:$port" \
  --cluster.listen-address=
