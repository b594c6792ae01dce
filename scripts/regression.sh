#!/usr/bin/env bash
# The regression gate, here and in CI: runs a small configuration, holds it against a baseline, and leaves run, table,
# report and verdict in a folder. Exit codes are those of `adasise-bench compare`, or of `run` if that fails.
#
#   scripts/regression.sh                 compare; further options go to `adasise-bench compare`, e.g. --no-speed
#   scripts/regression.sh --update        make the baseline anew instead; further options go to `baseline`
#   scripts/regression.sh --or-update     compare, or make the baseline where there is none yet, and say so
#
# CONFIG, BASELINE and OUTPUT (which must not exist yet) can be set in the environment.
set -euo pipefail
cd "$(dirname "$0")/.."

config=${CONFIG:-configs/regression.yaml}
baseline=${BASELINE:-results/baselines/regression.json}
output=${OUTPUT:-results/regression/$(date +%Y%m%d-%H%M%S)}

if [ "${1:-}" = --or-update ]; then
  shift
  if [ ! -f "$baseline" ]; then
    echo "Nothing is compared: there was no $baseline, and this run makes it." >&2
    set -- --update
  fi
fi

bench() { python -m adasise_bench "$@"; }

if [ -e "$output" ]; then
  echo "Error: $output exists; set OUTPUT to a new folder" >&2
  exit 5
fi
mkdir -p "$output"
# Exit code 1 says that explanations failed: whether that is new is for compare to say.
status=0
bench run --config "$config" --output "$output/run" --save-maps > "$output/tables.txt" || status=$?
[ "$status" -le 1 ] || exit "$status"

if [ "${1:-}" = --update ]; then
  bench baseline "$output/run" --update --output "$baseline" "${@:2}"
  exit
fi

bench table "$output/run" --format md > "$output/table.md"
bench report "$output/run" --output "$output/report.html"

# Extremal Perturbation amplifies rounding (docs/performance.md): on another machine only its means, and only roughly.
status=0
bench compare "$baseline" "$output/run" --junit "$output/junit.xml" \
  --tolerance extremal_perturbation=5 --bound extremal_perturbation=none "$@" \
  > "$output/compare.txt" 2> "$output/verdict.txt" || status=$?
cat "$output/compare.txt"
cat "$output/verdict.txt" >&2

if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
  {
    cat "$output/table.md"
    printf '\n### Regression gate\n\n'
    # Four spaces make a block that no line in it can end, as "```" would end one that it began.
    sed 's/^/    /' "$output/verdict.txt" "$output/compare.txt"
  } >> "$GITHUB_STEP_SUMMARY"
fi
exit "$status"
