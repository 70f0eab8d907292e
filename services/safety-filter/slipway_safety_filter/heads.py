"""The trained heads: from hashed word sequences and MiniLM's states to one calibrated probability per head.

It knows the file that the recipe writes and its arithmetic. It refuses to know texts, windows and policies.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 16 << 20
SHIPPED = Path(__file__).with_name("heads.safetensors")

Vector = NDArray[np.float32]


class HeadsError(Exception):
    """The file of the heads cannot be used; the message says why."""


@dataclass(frozen=True)
class Heads:
    """`names[i]` is the head of row i everywhere. A probability is sigmoid(mix[0] * dense + mix[1] * sparse + mix[2])."""

    names: tuple[str, ...]
    taps: tuple[int, ...]
    inner_weight: Vector
    inner_bias: Vector
    outer_weight: Vector
    outer_bias: Vector
    sparse_weight: NDArray[np.int8]
    sparse_scale: Vector
    mix: Vector

    @property
    def slope(self) -> float:
        """The dense logit's weight in the attack heads' probabilities, which is the same for all of them; 1 where there are none."""
        return float(self.mix[self.names.index("injection"), 0]) if "injection" in self.names else 1.0

    def sparse(self, buckets: NDArray[np.int64]) -> Vector:
        """[heads]: the logits of the linear reader over one window's buckets."""
        total = self.sparse_weight[buckets].sum(axis=0, dtype=np.int32) * self.sparse_scale
        return (total / np.sqrt(max(1, len(buckets)))).astype(np.float32)

    def dense(self, pooled: Vector) -> Vector:
        """[windows, heads]: the logits over MiniLM's states."""
        hidden = np.maximum(pooled @ self.inner_weight.T + self.inner_bias, 0)
        return (hidden @ self.outer_weight.T + self.outer_bias).astype(np.float32)

    def probability(self, dense: Vector, sparse: Vector) -> Vector:
        """The calibrated probability of each head."""
        logits = dense * self.mix[:, 0] + sparse * self.mix[:, 1] + self.mix[:, 2]
        return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)


def load(path: Path = SHIPPED) -> Heads:
    """The heads at `path`; raises HeadsError. The header is bounded and every tensor's shape is checked before use."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise HeadsError(f"{path} is missing or larger than {MAX_BYTES} bytes")
    try:
        with safe_open(str(path), framework="numpy") as file:
            meta = file.metadata() or {}
            # Copies: what the file hands out is gone when it closes.
            tensors = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 - no mapping
        names, taps = tuple(json.loads(meta["heads"])), tuple(json.loads(meta["taps"]))
        heads = Heads(
            names, taps, tensors["inner.weight"].astype(np.float32), tensors["inner.bias"], tensors["outer.weight"], tensors["outer.bias"],
            tensors["sparse.weight"], tensors["sparse.scale"], tensors["mix"],
        )  # fmt: skip
    except (SafetensorError, KeyError, ValueError, struct.error) as error:
        raise HeadsError(f"{path} is not a file of heads: {error}") from error
    shapes = (
        heads.outer_weight.shape[0],
        heads.sparse_weight.shape[1],
        heads.mix.shape[0],
        heads.sparse_scale.shape[0],
    )
    if set(shapes) != {len(names)} or heads.mix.shape != (len(names), 3):
        raise HeadsError(f"{path}: its tensors do not agree on the number of heads")
    return heads
