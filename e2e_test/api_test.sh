#!/usr/bin/env bash
# Checks the API's answers and prints a line for each:  API_TOKEN=... e2e_test/api_test.sh URL
# The valid request is a real one: its e-mail is stored. Exit codes: 0 all as expected, 1 not, 2 wrong usage.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${E2E_PYTHON:-python3}" -m e2e_test.e2e_api_test "$@"
