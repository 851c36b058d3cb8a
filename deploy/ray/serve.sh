#!/usr/bin/env bash
# Serves one model on the GPUs of a Ray cluster. Runs on a machine of the cluster that has a GPU of its own.
# What follows on the command line is handed to `xmguard serve`.
set -euo pipefail

: "${MODEL:?the folder of the model: the same path, and the same files, on every machine}"
: "${TENSOR_PARALLEL_SIZE:?how many GPUs share every layer, over all machines}"
# Without an address, Ray would start a cluster of this machine alone, and vLLM would wait for its GPUs to become enough.
export RAY_ADDRESS="${RAY_ADDRESS:-auto}"

for _ in $(seq "${RAY_WAIT:-60}"); do
    if ray status >/dev/null 2>&1; then
        break
    fi
    sleep 2
done
ray status

exec xmguard serve --engine vllm --experimental --device cuda --dtype "${DTYPE:-bfloat16}" \
    --model "$MODEL" --tensor-parallel-size "$TENSOR_PARALLEL_SIZE" \
    --engine-option distributed_executor_backend=ray \
    --host "${HOST:-127.0.0.1}" --port "${PORT:-50051}" \
    --admin-host "${HOST:-127.0.0.1}" --admin-port "${ADMIN_PORT:-9464}" ${TOKENS:+--tokens "$TOKENS"} "$@"
