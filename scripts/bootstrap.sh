#!/usr/bin/env bash
# Makes .venv with `tc` in it, whatever the machine's default Python, pyenv or uv are.
# Needs a CPython 3.13 somewhere and a package index. Writes to .venv, .tools and uv's cache, nowhere else.
# Says everything on stderr. Exit: 0 ready, 5 the environment does not allow it (a hint says what to do).
set -euo pipefail

python_wanted=3.13
uv_pinned=0.13.8

unset CDPATH # or `cd` may go elsewhere and print where
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
if [[ ${TC_PYTHON:-} == */* ]]; then TC_PYTHON=$(realpath -s -- "$TC_PYTHON"); fi # the caller's folder counts
cd -- "$root"
home=${HOME:-$(unset HOME && echo ~)} # unset, bash knows it from the password file

say() { printf 'bootstrap: %s\n' "$*" >&2; }
fail() { # fail MESSAGE HINT...
  say "error: $1"
  shift
  local hint
  for hint; do say "hint: $hint"; done
  exit 5
}

# What another project left in the environment must not choose our interpreter, groups or target folder.
# How packages are reached (index, proxy, cache, certificates) is the user's to say and stays.
drop_foreign_settings() {
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

# Prints the interpreter itself, never a shim or a virtual environment in front of it: either may vanish.
# Only running it tells: a pyenv shim exists and fails. Free-threaded builds ("t") have no engine wheel.
real_python() {
  local path
  path=$("$1" -IS -c '
import sys
fits = sys.implementation.name == "cpython" and sys.version_info[:2] == tuple(map(int, sys.argv[1].split(".")))
if not fits or sys.version_info.releaselevel != "final" or "t" in sys.abiflags:
    sys.exit(1)
print(sys._base_executable)' "$python_wanted" 2>/dev/null </dev/null) && [[ -x $path ]] && echo "$path"
}

candidates() {
  if [[ -n ${TC_PYTHON:-} ]]; then # asked for by name: nothing else will do
    type -P -- "$TC_PYTHON" || echo "$TC_PYTHON"
    return
  fi
  if [[ -e .venv/bin/python ]]; then echo .venv/bin/python; fi # first: another PATH must not rebuild a sound .venv
  type -aP "python$python_wanted" || echo "python$python_wanted on PATH"
  printf '%s\n' ${PYENV_ROOT:+"$PYENV_ROOT"/versions/"$python_wanted"*/bin/"python$python_wanted"} \
    "$home"/.pyenv/versions/"$python_wanted"*/bin/"python$python_wanted" \
    "$home"/.local/share/uv/python/cpython-"$python_wanted"*/bin/"python$python_wanted" \
    {/usr,/usr/local}/bin/"python$python_wanted"
}

find_python() {
  local candidate looked=
  while IFS= read -r candidate; do
    if python=$(real_python "$candidate"); then return; fi
    if [[ ! -e $candidate ]]; then
      looked+=$'\n'"  $candidate: not there"
    else
      looked+=$'\n'"  $candidate: does not run, or is not CPython $python_wanted"
    fi
  done < <(candidates | awk '!seen[$0]++')
  if [[ -n ${TC_PYTHON:-} ]]; then
    fail "TC_PYTHON is not a working CPython $python_wanted, looked at:$looked" \
      "point TC_PYTHON at one, or unset it to let this script search"
  fi
  fail "no working CPython $python_wanted found, looked at:$looked" \
    "install one: apt-get install python$python_wanted python$python_wanted-venv, or: pyenv install $python_wanted" \
    "or name one that is elsewhere: TC_PYTHON=<path of python$python_wanted> scripts/bootstrap.sh"
}

# Broken shims print no version; older ones do not read our lock and certificate setting alike.
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
  say "installing uv $uv_pinned into .tools/uv"
  rm -rf -- "$new"
  "$python" -m venv "$new" >&2 || fail "$python cannot make virtual environments" \
    "apt-get install python$python_wanted-venv, or put uv $uv_pinned or newer on PATH"
  "$new/bin/python" -m pip install -qq --disable-pip-version-check --no-input --only-binary :all: "uv==$uv_pinned" >&2 ||
    fail "pip could not install uv $uv_pinned" \
      "is the package index reachable? behind a proxy set HTTPS_PROXY, for a mirror PIP_INDEX_URL" \
      "or put uv $uv_pinned or newer on PATH"
  rm -rf -- .tools/uv
  mv -- "$new" .tools/uv # whole or not at all
  uv=$root/.tools/uv/bin/uv
}

# Scripts in a virtual environment name their interpreter absolutely: after a move they run the old place's.
venv_is_sound() {
  [[ ! -e .tools/unfinished && -x .venv/bin/tc ]] && real_python .venv/bin/python >/dev/null &&
    head -n 3 .venv/bin/tc | grep -qF -- "$root/.venv/bin/python"
}

choose_cache() {
  local cache
  cache=$("$uv" cache dir 2>/dev/null) || cache=
  if [[ $cache != /* ]] || ! mkdir -p -- "$cache" 2>/dev/null || [[ ! -w $cache ]]; then
    export UV_CACHE_DIR=$root/.tools/cache
    say "uv's own cache ${cache:+($cache) }is not writable, using .tools/cache"
  fi
}

sync() {
  local code=0
  if venv_is_sound && "$uv" sync --locked --check --quiet --python "$python" 2>/dev/null; then return; fi
  if [[ -e .venv || -L .venv ]] && ! venv_is_sound; then
    say "replacing .venv: half-made, moved here, or of another Python"
    rm -rf -- .venv
  fi
  touch .tools/unfinished # stays when this is killed, and the next run then starts anew
  "$uv" sync --locked --python "$python" >&2 || code=$?
  rm -f .tools/unfinished
  if ((code)); then
    local index=("${!UV_INDEX@}" ${UV_DEFAULT_INDEX:+UV_DEFAULT_INDEX} ${UV_EXTRA_INDEX_URL:+UV_EXTRA_INDEX_URL})
    fail "uv sync gave up (its exit code was $code), its reason is above" \
      "network: is the package index reachable? behind a proxy set HTTPS_PROXY" \
      ${index[0]:+"index: another one than the lock's does not match the lock, try without ${index[*]}"} \
      "lock out of date after an edit of pyproject.toml: ${uv/#"$root/"/} lock"
  fi
}

drop_foreign_settings
export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-true} # pyproject says so too, but UV_CONFIG_FILE replaces that

mkdir -p .tools 2>/dev/null && [[ -w .tools ]] || fail "cannot write to $root" "work in a copy that you own"
if type -P flock >/dev/null; then
  exec 9>.tools/lock
  flock -n 9 || {
    say "another bootstrap of this folder is at work, waiting for it"
    flock -w 600 9 || fail "another bootstrap of this folder has been at work for 10 minutes" "is it stuck? end it, then try again"
  }
fi

find_python
find_uv
choose_cache
sync

venv_is_sound || fail ".venv is not usable although uv sync succeeded" "remove .venv and .tools, then try again"
say "ready: .venv/bin/tc on Python $(.venv/bin/python -IS -c 'import platform; print(platform.python_version())')"
