"""Loss-aware sampling: how often a row is seen, from the loss that an earlier model had on it; bounded, and deterministic by seed and epoch.

It knows losses, weights and row numbers. It refuses to know models (`losses` makes the file) and the mixture: within every source the weights have mean one, so
the sources keep their shares, and a source of harder language is not taken for a more useful one.

Rows that a model already predicts well teach little and are seen less; the very hardest are often noise and are not seen more. After Sow et al. 2025 (arXiv
2502.06733), who find that down-weighting low losses under an upper bound is what helps; the form here is ours: exp(strength * z), z the loss in standard
deviations of its source, clipped.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from slipway_training.data.packed import Packed
from slipway_training.errors import DataMissing, StackMissing

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "pyarrow", "data") from error


class Weighing(BaseModel):
    """How losses become weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: Annotated[
        float, Field(ge=0, le=4, description="0 is uniform; 0.5 sees a row of one standard deviation more 1.65 times as often")
    ] = 0.5
    lowest: Annotated[float, Field(gt=0, le=1)] = 0.25
    highest: Annotated[float, Field(ge=1, le=8)] = 2.0
    noise: Annotated[
        float,
        Field(ge=0, lt=0.5, description="share of a source's rows with the highest losses that is taken for noise: weight one at most"),
    ] = 0.01


def weigh(losses: NDArray[np.floating], sources: NDArray[np.integer], how: Weighing) -> NDArray[np.float64]:
    """A weight for every row, `(rows,)`: mean one within each source, between `lowest` and `highest`. Raises ValueError for losses that are no numbers."""
    if losses.shape != sources.shape or not np.isfinite(losses).all():
        raise ValueError("losses must be one finite number for each row")
    weights = np.ones(len(losses))
    for source in np.unique(sources):
        mine = np.flatnonzero(sources == source)
        weights[mine] = _weigh_one(losses[mine].astype(np.float64), how)
    return weights


def _weigh_one(losses: NDArray[np.float64], how: Weighing) -> NDArray[np.float64]:
    spread = losses.std()
    if spread == 0 or how.strength == 0:
        return np.ones(len(losses))
    raw = np.exp(how.strength * np.clip((losses - losses.mean()) / spread, -4, 4))
    upper = np.full(len(losses), how.highest)
    if how.noise:
        upper[losses > np.quantile(losses, 1 - how.noise)] = 1.0
    # One scale for all rows, found by bisection: the mean of the clipped weights rises with it, from `lowest` to at least one.
    low, high = 0.0, how.highest / raw.min()
    for _ in range(60):
        scale = (low + high) / 2
        if np.clip(raw * scale, how.lowest, upper).mean() < 1:
            low = scale
        else:
            high = scale
    return np.clip(raw * high, how.lowest, upper)


def sample_rows(packed: Packed, weights: NDArray[np.floating], epoch: int, seed: int) -> NDArray[np.int64]:
    """The rows of one epoch, `(rows,)`: each stage as long as it is, in stage order, a row about as often as its weight, shuffled within its stage.

    Systematic resampling: a row of weight 1.3 is taken once or twice, never more. Raises ValueError for weights of other rows.
    """
    if weights.shape != (len(packed),):
        raise ValueError(f"{len(weights)} weights for {len(packed)} rows")
    out: list[NDArray[np.int64]] = []
    for stage in range(len(packed.lengths_by_stage)):
        rows = packed.stage_rows(stage)
        if not len(rows):
            continue
        out.append(resample(np.arange(rows.start, rows.stop), weights, np.random.default_rng([seed, epoch, stage])))
    return np.concatenate(out).astype(np.int64) if out else np.zeros(0, np.int64)


def resample(rows: NDArray[np.int64], weights: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.int64]:
    """As many rows as there are, each about as often as `weights[row]`, shuffled: systematic resampling."""
    # Which rows share a step of the comb must not depend on their place, or neighbours would exclude each other.
    shuffled = rng.permutation(rows)
    ends = np.cumsum(weights[shuffled])
    comb = (np.arange(len(rows)) + rng.random()) * (ends[-1] / len(rows))
    taken = np.minimum(np.searchsorted(ends, comb, side="right"), len(rows) - 1)
    return rng.permutation(shuffled[taken])


def write_numbers(path: Path, name: str, values: NDArray[np.floating], packed: Packed, **notes: str) -> None:
    """One float32 a row under `name`, bound to the digest of the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: pa.array(values.astype(np.float32))}).replace_schema_metadata({"rows_digest": packed.digest, **notes})
    part = path.with_name(f".{path.name}.part")
    parquet.write_table(table, part)
    part.replace(path)


def read_numbers(path: Path, name: str, packed: Packed) -> NDArray[np.float32]:
    """What `write_numbers` wrote; raises DataMissing when it is not there, or of other rows."""
    if not path.is_file():
        raise DataMissing(f"there is no file {path}")
    try:
        table = parquet.read_table(path)
        column = table.column(name)
    except (pa.ArrowInvalid, KeyError) as error:
        raise DataMissing(f"{path} holds no {name} of rows") from error
    if (table.schema.metadata or {}).get(b"rows_digest", b"").decode() != packed.digest:
        raise DataMissing(f"{path} belongs to other rows than {packed.folder}; make it again for these")
    return column.to_numpy().astype(np.float32)
