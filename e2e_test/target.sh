# shellcheck shell=bash
# Functions that the scripts in this folder share: the Python that they run, and the local stack. They source it.

# Prints the first interpreter with boto3, which is not imported here, because that takes half a second.
interpreter() {
  local python usable='import sys, importlib.util as u; sys.exit(sys.version_info < (3, 11) or not u.find_spec("boto3"))'
  for python in "${E2E_PYTHON:-}" .venvs/local_stack/bin/python python3; do
    if [[ -n "$python" ]] && "$python" -c "$usable" 2>/dev/null; then
      echo "$python"
      return
    fi
  done
  echo "needs Python 3.11 or newer with boto3: run \`make setup\` first, or set E2E_PYTHON" >&2
  exit 2
}

use_local_stack() {
  if [[ ! -r .local/stack.env ]]; then
    echo "no local stack: there is no .local/stack.env; start one with \`make run\`" >&2
    exit 2
  fi
  # shellcheck source=/dev/null
  source .local/stack.env
}

# Asks a question and ends with exit code 2 unless the answer is yes.
ask() { # what happens
  echo "$1"
  local answer=""
  read -r -p "Continue? [y/N] " answer || true
  if [[ "$answer" != [yY]* ]]; then
    echo "not sent" >&2
    exit 2
  fi
}
