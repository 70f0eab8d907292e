from pathlib import Path

import numpy as np
import pytest
from slipway_training.errors import DataMissing
from slipway_training.layout import Row
from slipway_training.sampler import Sampler
from slipway_training.shards import Shard, open_shard, write_shard


def rows(count: int) -> list[Row]:
    return [Row(list(range(n)), [0] * n, list(range(n)), [False] * (n - 1) + [True], "a" if n % 2 else "b") for n in range(3, 3 + count)]


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return write_shard(tmp_path / "s", rows(40))


def test_rows_come_back_as_written(shard: Shard) -> None:
    assert len(shard) == 40
    assert shard.lengths().tolist() == list(range(3, 43))
    assert shard.tokens[shard.offsets[5] : shard.offsets[6]].tolist() == list(range(8))
    assert shard.sources == {"a": 20, "b": 20}


def test_a_missing_or_cut_shard_is_refused(tmp_path: Path, shard: Shard) -> None:
    with pytest.raises(DataMissing):
        open_shard(tmp_path / "nothing")
    np.save(tmp_path / "s" / "tokens.npy", np.zeros(3, np.uint16), allow_pickle=False)
    with pytest.raises(DataMissing, match="damaged"):
        open_shard(tmp_path / "s")


def test_an_empty_shard_is_allowed(tmp_path: Path) -> None:
    assert len(write_shard(tmp_path / "e", [])) == 0


def test_every_row_is_in_exactly_one_batch(shard: Shard) -> None:
    sampler = Sampler([shard, shard], 100, seed=1)
    batches = [sampler.batch(i) for i in range(len(sampler))]
    assert sum(b.size for b in batches) == sampler.tokens == 2 * int(shard.offsets[-1])
    assert [sampler.stage(i) for i in range(len(sampler))] == sorted(sampler.stage(i) for i in range(len(sampler)))
    lengths = sorted(int((b.segments[i] != 255).sum()) for b in batches for i in range(len(b.tokens)))
    assert lengths == sorted(2 * list(range(3, 43)))


def test_batches_depend_on_the_seed_alone(shard: Shard) -> None:
    one, same, other = (Sampler([shard], 100, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one.batch(i).tokens, same.batch(i).tokens) for i in range(len(one)))
    assert any(not np.array_equal(one.batch(i).tokens, other.batch(i).tokens) for i in range(min(len(one), len(other))))
