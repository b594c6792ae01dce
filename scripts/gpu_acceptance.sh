#!/usr/bin/env bash
# Everything that only a GPU can answer, by one command, in at most seven minutes (docs/performance.md):
#
#   scripts/gpu_acceptance.sh --data VOC_FOLDER --resnet50 CHECKPOINT [--vgg16 CHECKPOINT] [--output FOLDER]
#   scripts/gpu_acceptance.sh --device cpu --quick --output FOLDER     a little of every step, without a GPU
#
# Writes results/gpu/CARD.json and CARD.md. Without a GPU it says so and ends with exit code 4. Further options:
# --help. The machine needs no network: `python3` (or PYTHON) has torch and torchvision, and what else is missing
# lies as wheels in the folder wheels/ of this checkout, or in that of --wheels DIR (scripts/gpu_wheels.sh).
set -euo pipefail
started=$(date +%s.%N)
here=$(cd "$(dirname "$0")/.." && pwd)
wheels=$here/wheels
python=${PYTHON:-python3}
options=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels) wheels=$(cd "$2" && pwd); shift 2 ;;
    --wheels=*) wheels=$(cd "${1#*=}" && pwd); shift ;;
    *) options+=("$1"); shift ;;
  esac
done

# A new environment that also sees the packages of the given Python. That may be an environment itself, which
# --system-site-packages would overlook; pip, too, is the given Python's, for ensurepip is not everywhere.
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT
"$python" -m venv --without-pip "$venv"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sys; print("\n".join(path for path in sys.path if path.endswith("-packages")))' > "$site/machine.pth"
"$venv/bin/python" -m pip install --quiet --no-index --no-deps --find-links "$wheels" \
  --requirement "$here/scripts/gpu_requirements.txt"

export PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
"$venv/bin/python" "$here/scripts/gpu_acceptance.py" --started "$started" "${options[@]}"
