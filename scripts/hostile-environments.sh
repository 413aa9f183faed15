#!/usr/bin/env bash
# Runs bootstrap in environments that have broken it or may break it, each on its own copy of this checkout in a temporary
# folder, and prints a table: case, seconds, pass or fail (with the end of the log). All cases take about 100 s.
# usage: scripts/hostile-environments.sh [CASE...]     Exit: 0 all passed, 1 one failed, 2 unknown case.
# shellcheck disable=SC2329  # the cases are called by name
set -euo pipefail

unset CDPATH
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
seconds_per_case=180

# clean NAME=VALUE... COMMAND...: inherits only the proxy variables; no TLS variable, no pyenv, no VIRTUAL_ENV.
clean() {
  local proxies=() name
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [[ -v $name ]]; then proxies+=("$name=${!name}"); fi
  done
  env -i HOME="$HOME" PATH="$plain_path" "${proxies[@]}" "$@"
}

# Each case runs in its copy of the checkout, under `set -e`.
case_no_pyenv_no_tls_variables() { clean scripts/bootstrap.sh; }
case_pyenv_version_of_another_python() { PYENV_VERSION=3.11.7 scripts/bootstrap.sh; }
case_pyenv_version_not_installed() { PYENV_VERSION=9.9.9 scripts/bootstrap.sh; }
case_shims_that_fail() { clean PATH="$work/shims:$plain_path" scripts/bootstrap.sh; }
case_uv_too_old() { clean PATH="$work/old-uv:$plain_path" scripts/bootstrap.sh; }
case_foreign_virtual_env() {
  "$base_python" -m venv --without-pip ../foreign
  clean VIRTUAL_ENV="$PWD/../foreign" PATH="$PWD/../foreign/bin:$plain_path" scripts/bootstrap.sh
  test ! -e ../foreign/bin/tc
}
case_foreign_uv_variables() {
  clean UV_PYTHON=3.11 UV_PROJECT_ENVIRONMENT="$PWD/../elsewhere" UV_NO_DEV=1 UV_FROZEN=1 UV_NO_CONFIG=1 \
    UV_NO_EDITABLE=1 UV_RESOLUTION=lowest UV_EXCLUDE_NEWER=2020-01-01 UV_PYTHON_PREFERENCE=only-managed \
    scripts/bootstrap.sh
  test ! -e ../elsewhere
  test -x .venv/bin/pytest
}
case_python_and_pip_variables() {
  clean PYTHONHOME=/nonexistent PYTHONPATH=/nonexistent PIP_USER=1 PIP_TARGET=/nonexistent scripts/bootstrap.sh
}
case_another_folder_and_cdpath() (
  name=${PWD##*/}
  cd ..
  clean CDPATH=/:/usr "$name/scripts/bootstrap.sh"
)
case_moved_project() { # every other case has a space in its path, this one has none after the move
  clean scripts/bootstrap.sh
  mv -- "$PWD" "$work/moved_project/moved"
  cd "$work/moved_project/moved"
  clean scripts/bootstrap.sh
  .venv/bin/python -c 'import opslab, pathlib; assert pathlib.Path(opslab.__file__).is_relative_to(pathlib.Path.cwd())'
}
case_home_unset() { clean env -u HOME scripts/bootstrap.sh; }
case_home_not_writable() {
  clean HOME=/proc/nonexistent scripts/bootstrap.sh
  test -d .tools/cache
}
case_venv_half_made() {
  mkdir -p .venv/bin
  touch .venv/bin/tc
  clean scripts/bootstrap.sh
}
case_venv_of_another_python() {
  mkdir -p .venv/bin
  ln -s /bin/true .venv/bin/python
  printf '#!%s\n' "$PWD/.venv/bin/python" >.venv/bin/tc
  chmod +x .venv/bin/tc
  touch .venv/of_the_other
  clean scripts/bootstrap.sh
  test ! -e .venv/of_the_other
}
case_killed_in_the_middle() {
  clean bash -c 'echo $$ >.killed; exec setsid scripts/bootstrap.sh' &
  until test -e .venv/pyvenv.cfg; do sleep 0.02; done
  kill -KILL -- "-$(<.killed)"
  wait || true
  test -e .tools/unfinished
  clean scripts/bootstrap.sh
}
case_two_at_once() {
  clean scripts/bootstrap.sh &
  clean scripts/bootstrap.sh
  wait $!
}
case_no_python_found() {
  local code=0
  clean TC_PYTHON=/nonexistent/python3.13 scripts/bootstrap.sh || code=$?
  test "$code" = 5
  test ! -e .venv
  clean scripts/bootstrap.sh
}

run_case() {
  mkdir -p -- "$work/$1/a copy"
  cd -- "$work/$1/a copy"
  tar -xf "$work/project.tar"
  "case_$1"
  .venv/bin/python -c 'import opslab, sys, typer; assert sys.version_info[:2] == (3, 13)'
  test -x .venv/bin/tc
}

mapfile -t cases < <(declare -F | sed -n 's/^declare -f case_//p')
for name; do
  if ! declare -F "case_$name" >/dev/null; then
    printf 'hostile-environments: error: unknown case %s; known:\n' "$name" >&2
    printf '  %s\n' "${cases[@]}" >&2
    exit 2
  fi
done
if (($#)); then cases=("$@"); fi

"$root/scripts/bootstrap.sh"
base_python=$("$root/.venv/bin/python" -c 'import sys; print(sys._base_executable)')
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM

cd -- "$root"
git ls-files -coz --exclude-standard | while IFS= read -rd '' path; do
  if [[ -e $path ]]; then printf '%s\0' "$path"; fi # a deleted file is still listed
done | tar --null -T - -cf "$work/project.tar"

mkdir "$work/shims" "$work/old-uv" "$work/last"
for name in python3.13 python3 python uv; do
  printf '#!/bin/sh\necho "pyenv: version 9.9.9 is not installed" >&2\nexit 1\n' >"$work/shims/$name"
done
printf '#!/bin/sh\necho "uv 0.4.30"\n' >"$work/old-uv/uv"
chmod +x "$work/shims/"* "$work/old-uv/uv"
# Last on PATH, for machines whose Python 3.13 is in none of the usual folders.
ln -s "$base_python" "$work/last/python3.13"
plain_path=/usr/bin:/bin:$work/last

export work base_python plain_path
export -f clean run_case
failed=0
for name in "${cases[@]}"; do
  export -f "case_${name?}"
  verdict=pass
  start_ms=$((${EPOCHREALTIME//[!0-9]/} / 1000))
  # shellcheck disable=SC2016  # the inner bash expands it
  timeout -k 5 "$seconds_per_case" bash -euc 'run_case "$1"' _ "$name" >"$work/$name.log" 2>&1 </dev/null || verdict=fail
  ms=$((${EPOCHREALTIME//[!0-9]/} / 1000 - start_ms))
  printf '%-32s %4d.%d s  %s\n' "$name" "$((ms / 1000))" "$((ms % 1000 / 100))" "$verdict"
  if [[ $verdict == fail ]]; then
    failed=1
    tail -n 15 "$work/$name.log" | sed 's/^/    /'
  fi
  rm -rf -- "${work:?}/$name"
done
exit "$failed"
