#!/usr/bin/env bash
# ray.init(address="local") starts a cluster for one script. Expected: once it is shut down, clusters that are started by
# `ray start --head` on the same machine behave as if it had never been there.
# Behaviour: it leaves a token in ~/.ray. From then on `ray start --head` demands that token of everybody who joins, while
# ray.init(address="HOST:PORT") of the same user on the same machine, where the token lies, does not send it: it fails after
# some 20 s with a message that does not speak of tokens. With RAY_AUTH_MODE=token it joins.
# Seen with ray 2.60.0, Python 3.11, on x86-64 Linux:
#   after a local start: token in the home True
#   joining a cluster:   ConnectionError
#   RAY_AUTH_MODE=token: joined
set -euo pipefail
folder=$(mktemp -d)
head=
finish() {
  [ -z "$head" ] || kill -- "-$head" 2>/dev/null || true
  sleep 2
  rm -rf "$folder"
}
trap finish EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ray==2.60.0
export HOME="$folder/home" RAY_USAGE_STATS_ENABLED=0
unset RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_ADDRESS
mkdir "$HOME"
port=$((20000 + RANDOM % 10000))

"$folder/venv/bin/python" - <<'PY' 2>/dev/null
import logging

import ray

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
ray.shutdown()
PY
token=$([ -s "$HOME/.ray/auth_token" ] && echo True || echo False)
echo "after a local start: token in the home $token"

setsid "$folder/venv/bin/ray" start --head --block --port="$port" --num-cpus=1 --include-dashboard=false \
  --disable-usage-stats >"$folder/head.log" 2>&1 &
head=$!
sleep 15

join() {
  timeout 120 "$folder/venv/bin/python" - "$port" <<'PY' 2>/dev/null
import logging
import sys

import ray

try:
    ray.init(address=f"127.0.0.1:{sys.argv[1]}", log_to_driver=False, logging_level=logging.ERROR)
    print("joined")
except Exception as error:
    print(type(error).__name__)
PY
}
without=$(join)
echo "joining a cluster:   $without"
with=$(RAY_AUTH_MODE=token join)
echo "RAY_AUTH_MODE=token: $with"
[ "$token" = True ] && [ "$without" = ConnectionError ] && [ "$with" = joined ]
