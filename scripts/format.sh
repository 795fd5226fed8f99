#!/usr/bin/env bash
# Lays out all C++ files with clang-format 14 (.clang-format); with --check only names those that are not.
set -euo pipefail
cd "$(dirname "$0")/.."
files() {
  find . -name '.?*' -prune -o -name 'build*' -prune -o -name out -prune -o -name '*.[ch]pp' -print0
}
if [[ ${1:-} == --check ]]; then
  if ! out=$(files | xargs -0 clang-format-14 --dry-run --Werror 2>&1); then
    grep -oE '^[^:]+:[0-9]+' <<<"$out" | sort -t: -k1,1 -u | sed 's/$/: not laid out as .clang-format says/' >&2
    echo "format: run ./dev fmt" >&2
    exit 1
  fi
else
  files | xargs -0 clang-format-14 -i
fi
