#!/usr/bin/env bash
# Creates .venv with `tc` in it, independent of the machine's default Python, pyenv and uv.
# Needs an installed CPython 3.13 and a package index. Writes only to .venv, .tools and uv's cache.
# All output goes to stderr. Exit: 0 ready, 5 the environment prevents it (a hint names the action).
set -euo pipefail

python_version=3.13
uv_pinned=0.13.8

unset CDPATH # otherwise `cd` may change to another folder and print it
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
if [[ ${TC_PYTHON:-} == */* ]]; then TC_PYTHON=$(realpath -s -- "$TC_PYTHON"); fi # relative to the caller's folder
cd -- "$root"
home=${HOME:-$(unset HOME && echo ~)} # without HOME, bash reads it from the password file

log() { printf 'bootstrap: %s\n' "$*" >&2; }
fail() { # fail MESSAGE HINT...
  log "error: $1"
  shift
  local hint
  for hint; do log "hint: $hint"; done
  exit 5
}

# Settings of another project in the environment must not select the interpreter, groups or target folder.
# Settings for package access (index, proxy, cache, certificates) belong to the user and are kept.
unset_foreign_settings() {
  local name
  for name in "${!UV_@}"; do
    case $name in
      UV_INDEX* | UV_DEFAULT_INDEX | UV_EXTRA_INDEX_URL | UV_FIND_LINKS | UV_KEYRING_PROVIDER | UV_INSECURE_HOST) ;;
      UV_CONFIG_FILE | UV_CREDENTIALS_DIR | UV_CACHE_DIR | UV_NO_CACHE | UV_LINK_MODE | UV_OFFLINE) ;;
      UV_HTTP_* | UV_REQUEST_TIMEOUT | UV_CONCURRENT_* | UV_SYSTEM_CERTS | UV_NATIVE_TLS | UV_NO_PROGRESS) ;;
      *) unset "$name" ;;
    esac
  done
  unset VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIRE_HASHES
}

# Prints the interpreter itself, never a shim or a virtual environment: either may be removed later.
# The candidate has to be run: a pyenv shim exists and fails. Free-threaded builds ("t") have no engine wheel.
real_python() {
  local path
  path=$("$1" -IS -c '
import sys
fits = sys.implementation.name == "cpython" and sys.version_info[:2] == tuple(map(int, sys.argv[1].split(".")))
if not fits or sys.version_info.releaselevel != "final" or "t" in sys.abiflags:
    sys.exit(1)
print(sys._base_executable)' "$python_version" 2>/dev/null </dev/null) && [[ -x $path ]] && echo "$path"
}

candidates() {
  if [[ -n ${TC_PYTHON:-} ]]; then # requested by name: no other candidate
    type -P -- "$TC_PYTHON" || echo "$TC_PYTHON"
    return
  fi
  if [[ -e .venv/bin/python ]]; then echo .venv/bin/python; fi # first: another PATH must not rebuild a valid .venv
  type -aP "python$python_version" || echo "python$python_version on PATH"
  printf '%s\n' ${PYENV_ROOT:+"$PYENV_ROOT"/versions/"$python_version"*/bin/"python$python_version"} \
    "$home"/.pyenv/versions/"$python_version"*/bin/"python$python_version" \
    "$home"/.local/share/uv/python/cpython-"$python_version"*/bin/"python$python_version" \
    {/usr,/usr/local}/bin/"python$python_version"
}

find_python() {
  local candidate checked=
  while IFS= read -r candidate; do
    if python=$(real_python "$candidate"); then return; fi
    if [[ ! -e $candidate ]]; then
      checked+=$'\n'"  $candidate: not found"
    else
      checked+=$'\n'"  $candidate: does not run, or is not CPython $python_version"
    fi
  done < <(candidates | awk '!seen[$0]++')
  if [[ -n ${TC_PYTHON:-} ]]; then
    fail "TC_PYTHON is not a working CPython $python_version; checked:$checked" \
      "set TC_PYTHON to a working one, or unset it to let this script search"
  fi
  fail "no working CPython $python_version found; checked:$checked" \
    "install one: apt-get install python$python_version python$python_version-venv, or: pyenv install $python_version" \
    "or give the path of another one: TC_PYTHON=<path of python$python_version> scripts/bootstrap.sh"
}

# Broken shims print no version; older versions read the lock and certificate settings differently.
uv_is_recent() {
  local version
  version=$("$1" --version 2>/dev/null </dev/null) || return 1
  [[ $version =~ ^uv\ ([0-9]+(\.[0-9]+)+) ]] && printf '%s\n' "$uv_pinned" "${BASH_REMATCH[1]}" | sort -CV
}

find_uv() {
  local candidate
  while IFS= read -r candidate; do
    if uv_is_recent "$candidate"; then
      uv=$candidate
      return
    fi
  done < <(echo "$root/.tools/uv/bin/uv"; type -aP uv)
  install_uv
}

install_uv() {
  local new=$root/.tools/uv.new
  log "installing uv $uv_pinned into .tools/uv"
  rm -rf -- "$new"
  "$python" -m venv "$new" >&2 || fail "$python cannot create virtual environments" \
    "apt-get install python$python_version-venv, or put uv $uv_pinned or newer on PATH"
  "$new/bin/python" -m pip install -qq --disable-pip-version-check --no-input --only-binary :all: "uv==$uv_pinned" >&2 ||
    fail "pip could not install uv $uv_pinned" \
      "is the package index reachable? behind a proxy set HTTPS_PROXY, for a mirror PIP_INDEX_URL" \
      "or put uv $uv_pinned or newer on PATH"
  rm -rf -- .tools/uv
  mv -- "$new" .tools/uv # complete or not at all
  uv=$root/.tools/uv/bin/uv
}

# Scripts in a virtual environment contain the absolute path of their interpreter: after a move they run the old one.
venv_is_valid() {
  [[ ! -e .tools/unfinished && -x .venv/bin/tc ]] && real_python .venv/bin/python >/dev/null &&
    head -n 3 .venv/bin/tc | grep -qF -- "$root/.venv/bin/python"
}

choose_cache() {
  local cache
  cache=$("$uv" cache dir 2>/dev/null) || cache=
  if [[ $cache != /* ]] || ! mkdir -p -- "$cache" 2>/dev/null || [[ ! -w $cache ]]; then
    export UV_CACHE_DIR=$root/.tools/cache
    log "uv's own cache ${cache:+($cache) }is not writable, using .tools/cache"
  fi
}

sync() {
  local code=0
  if venv_is_valid && "$uv" sync --locked --check --quiet --python "$python" 2>/dev/null; then return; fi
  if [[ -e .venv || -L .venv ]] && ! venv_is_valid; then
    log "replacing .venv: incomplete, moved here, or of another Python"
    rm -rf -- .venv
  fi
  touch .tools/unfinished # remains if this script is killed; the next run then starts anew
  "$uv" sync --locked --python "$python" >&2 || code=$?
  rm -f .tools/unfinished
  if ((code)); then
    local index=("${!UV_INDEX@}" ${UV_DEFAULT_INDEX:+UV_DEFAULT_INDEX} ${UV_EXTRA_INDEX_URL:+UV_EXTRA_INDEX_URL})
    fail "uv sync failed with exit code $code, see its message above" \
      "network: is the package index reachable? behind a proxy set HTTPS_PROXY" \
      ${index[0]:+"index: an index other than the lock's does not match the lock, try without ${index[*]}"} \
      "lock out of date after an edit of pyproject.toml: ${uv/#"$root/"/} lock"
  fi
}

unset_foreign_settings
export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} # also set in pyproject, but UV_CONFIG_FILE replaces that

mkdir -p .tools 2>/dev/null && [[ -w .tools ]] || fail "cannot write to $root" "work in a copy that you own"
if type -P flock >/dev/null; then
  exec 9>.tools/lock
  flock -n 9 || {
    log "another bootstrap of this folder is running, waiting for it"
    flock -w 600 9 || fail "another bootstrap of this folder has been running for 10 minutes" "end it if it hangs, then try again"
  }
fi

find_python
find_uv
choose_cache
sync

venv_is_valid || fail ".venv is not usable although uv sync succeeded" "remove .venv and .tools, then try again"
log "ready: .venv/bin/tc on Python $(.venv/bin/python -IS -c 'import platform; print(platform.python_version())')"
