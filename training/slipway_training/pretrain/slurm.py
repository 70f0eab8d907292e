"""An sbatch script for the pretrain recipe. It knows SLURM's words and torchrun's. It refuses to submit anything."""

import shlex

WARNING_SECONDS = 300
"""SIGTERM comes this long before the limit: enough to finish a step and write a checkpoint."""


def script(overrides: list[str], nodes: int, gpus: int, hours: int, legs: int, partition: str) -> str:
    """An array of `legs` jobs, one at a time: each starts `torchrun` on every node and goes on where the one before was stopped (exit code 75)."""
    words = " ".join(shlex.quote(word) for word in overrides)
    chosen = f"#SBATCH --partition={shlex.quote(partition)}\n" if partition else ""
    return f"""#!/bin/bash
# Written by `python -m slipway_training slurm`. Submit it with sbatch; the legs of the array run one after the other.
#SBATCH --job-name=slipway-pretrain
#SBATCH --nodes={nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={gpus}
#SBATCH --time={hours}:00:00
#SBATCH --array=1-{legs}%1
#SBATCH --signal=B:TERM@{WARNING_SECONDS}
#SBATCH --open-mode=append
#SBATCH --output=slipway-pretrain-%A.log
{chosen}set -u
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1   # a new store for every attempt: no process reads the address of a dead one
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 torchrun --nnodes={nodes} --nproc-per-node={gpus} --max-restarts=3 \\
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$head:29500" \\
    -m slipway_training train pretrain {words} &
work=$!
# The batch script alone gets the warning: it passes it on, and waits until the checkpoint is written.
trap 'kill -TERM "$work"' TERM
wait "$work"
code=$?
while kill -0 "$work" 2>/dev/null; do wait "$work"; code=$?; done
if [ "$code" -eq 0 ]; then
    scancel --state=PENDING "$SLURM_ARRAY_JOB_ID"   # done: the legs that wait are not needed
fi
exit 0
"""
