#!/usr/bin/env bash
# Fetches, on a machine with a package registry, the wheels that scripts/gpu_acceptance.sh installs on one without:
#
#   scripts/gpu_wheels.sh [FOLDER]      default: wheels/ in this checkout, which git ignores
#
# For Python 3.12 on x86-64 Linux; PYTHON_VERSION and PLATFORMS (with blanks between them) can be set in the environment.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$here/wheels}
version=${PYTHON_VERSION:-3.12}
for platform in ${PLATFORMS:-manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64}; do
  platforms+=(--platform "$platform")
done
target=(--only-binary=:all: --python-version "$version" --implementation cp "${platforms[@]}")
python=${PYTHON:-python3}
mkdir -p "$folder"

# pydantic wants exactly one version of pydantic-core: only pip's own choice of both fits.
"$python" -m pip download --quiet --dest "$folder" "${target[@]}" 'pydantic>=2.8'
# TorchRay is published as source only.
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder" 'torchray>=1.0.0.2'
grep -v -E '^(#|pydantic|torchray|annotated-types|typing-)' "$here/scripts/gpu_requirements.txt" > "$folder/others.txt"
"$python" -m pip download --quiet --no-deps --dest "$folder" "${target[@]}" --requirement "$folder/others.txt"
rm "$folder/others.txt"
du -sh "$folder"
