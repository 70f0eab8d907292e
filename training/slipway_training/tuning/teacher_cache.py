"""A teacher's likeliest next tokens for every learnt position of a set of rows, on disk: computed once, verified before they are read.

It knows safetensors, digests and what a cache was made of. It refuses to read a cache of another teacher, other rows or another temperature.

    CACHE/index.json            identity, top_k, one digest a shard
    CACHE/shard-00000.safetensors   logprobs (positions, k) float16, ids (positions, k) int32, starts (rows + 1) int64
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from slipway_training.errors import CheckpointError
from slipway_training.tuning.config import Divergence
from slipway_training.tuning.divergence import top_k
from slipway_training.tuning.rows import IGNORED
from slipway_training.vocab.lock import digest

SHARD_ROWS = 2048
INDEX = "index.json"
Rows = Sequence[dict[str, list[int]]]


def identity(teacher: str, rows: Rows, how: Divergence) -> str:
    """One name for everything that the numbers depend on: teacher weights, rows, temperature, k."""
    sums = hashlib.sha256(f"{teacher}/{how.temperature!r}/{how.top_k}".encode())
    for row in rows:
        sums.update(json.dumps([row["input_ids"], row["labels"]]).encode())
    return sums.hexdigest()


@torch.inference_mode()
def write_cache(model: Any, rows: Rows, how: Divergence, name: str, folder: Path, said: Callable[[int], None] | None = None) -> None:
    """Run the teacher over every row, one at a time; whole or not at all. Position i's entry is about the token behind it."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model.eval()
    sums: dict[str, str] = {}
    for first in range(0, len(rows), SHARD_ROWS):
        values, ids, starts = list[Tensor](), list[Tensor](), [0]
        for row in rows[first : first + SHARD_ROWS]:
            learnt = torch.tensor(row["labels"][1:]) != IGNORED
            logits = model(input_ids=torch.tensor([row["input_ids"]], device=model.device)).logits[0, :-1].cpu()
            v, i = top_k(logits[learnt], how.temperature, how.top_k)
            values.append(v.half())
            ids.append(i.int())
            starts.append(starts[-1] + int(learnt.sum()))
            if said is not None:
                said(1)
        path = part / f"shard-{first // SHARD_ROWS:05d}.safetensors"
        save_file({"logprobs": torch.cat(values), "ids": torch.cat(ids), "starts": torch.tensor(starts)}, path)
        sums[path.name] = digest(path)
    (part / INDEX).write_text(json.dumps({"identity": name, "rows": len(rows), "shards": sums}, indent=1), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


class TeacherCache:
    """`row(i)` is (log-probabilities, ids), each (learnt positions of row i, k)."""

    def __init__(self, folder: Path, name: str) -> None:
        """Verifies every shard; raises CheckpointError when one is damaged, or the cache is of something else."""
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            if index["identity"] != name:
                raise CheckpointError(f"{folder} was made by another teacher, of other rows or at another temperature; remove it")
            for file, wanted in index["shards"].items():
                if digest(folder / file) != wanted:
                    raise CheckpointError(f"{folder / file} is damaged; remove {folder} and the teacher is asked again")
            self._shards = [load_file(folder / file) for file in sorted(index["shards"])]
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise CheckpointError(f"{folder} is no cache of teacher logits ({type(error).__name__}); remove it") from error

    def row(self, index: int) -> tuple[Tensor, Tensor]:
        """The entries of one row, float16 and int32."""
        shard = self._shards[index // SHARD_ROWS]
        start, end = (int(shard["starts"][index % SHARD_ROWS + i]) for i in (0, 1))
        return shard["logprobs"][start:end], shard["ids"][start:end]
