import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_training.data.index import PackedRow
from slipway_training.data.origin import Origin
from slipway_training.data.packed import Packed, open_packed, write_packed
from slipway_training.errors import DataMissing

CONTEXT = 16
VOCAB = 500


def made(count: int, seed: int = 1, vocab: int = VOCAB) -> list[PackedRow]:
    rng = np.random.default_rng(seed)
    return [
        PackedRow(rng.integers(0, vocab, CONTEXT + 1), (0, *range(3 + i % 4, CONTEXT, 5)), "books" if i % 3 else "facts", stage=int(i >= count // 2))
        for i in range(count)
    ]  # fmt: skip


def write(folder: Path, rows: list[PackedRow], vocab: int = VOCAB) -> Packed:
    origins = {"books": Origin(url="file://books", licence="CC BY 4.0", domain="prose")}
    return write_packed(folder, rows, context=CONTEXT, vocab_size=vocab, tokenizer_sha256="ab" * 32, shard_rows=7, sources=origins)


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    return write(tmp_path / "p", made(40))


def test_rows_come_back_as_written(packed: Packed) -> None:
    rows = made(40)
    assert len(packed) == 40
    assert all(np.array_equal(packed.row(i), row.tokens) for i, row in enumerate(rows))
    assert all(packed.row_starts(i).tolist() == list(row.starts) for i, row in enumerate(rows))
    assert packed.row(3).dtype == np.int32 and packed.row(3).shape == (CONTEXT + 1,)


def test_a_gather_over_shards_keeps_the_order_asked_for(packed: Packed) -> None:
    wanted = [39, 0, 14, 13, 0, 27]
    got = packed.rows(wanted)
    assert got.dtype == np.int32
    assert np.array_equal(got, np.stack([packed.row(i) for i in wanted]))
    assert packed.rows([]).shape == (0, CONTEXT + 1)


def test_rows_are_mapped_and_of_the_narrow_kind(packed: Packed) -> None:
    before = pa.total_allocated_bytes()
    again = open_packed(packed.folder)
    assert pa.total_allocated_bytes() - before < 1000
    assert np.array_equal(again.row(20), packed.row(20))
    schema = pa.ipc.open_file(pa.memory_map(str(packed.folder / "shard-00000.arrow"))).schema
    assert schema.field("tokens").type == pa.list_(pa.uint16(), CONTEXT + 1)


def test_a_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    rows = made(9, vocab=100_000)
    packed = write(tmp_path / "wide", rows, vocab=100_000)
    assert all(np.array_equal(packed.row(i), row.tokens) for i, row in enumerate(rows))
    assert max(int(r.max()) for r in (packed.row(i) for i in range(9))) > 65535


def test_stages_and_sources_are_counted(packed: Packed) -> None:
    assert packed.lengths_by_stage == (20, 20)
    assert packed.stage_rows(1) == range(20, 40)
    assert packed.row_stages().tolist() == [0] * 20 + [1] * 20
    by_name = {p.source: p for p in packed.provenance}
    assert by_name["books"].rows == 26 and by_name["books"].tokens == 26 * CONTEXT
    assert by_name["books"].origin.licence == "CC BY 4.0" and by_name["facts"].origin.licence == "unknown"
    names = [p.source for p in packed.provenance]
    assert [names[s] for s in packed.row_sources()] == [r.source for r in made(40)]


def test_the_same_rows_have_the_same_digest(tmp_path: Path, packed: Packed) -> None:
    assert write(tmp_path / "again", made(40)).digest == packed.digest
    assert write(tmp_path / "other", made(40, seed=2)).digest != packed.digest


def test_writing_again_leaves_no_file_of_the_earlier_rows(packed: Packed) -> None:
    fewer = write(packed.folder, made(5))
    assert len(fewer) == 5
    assert [f.name for f in packed.folder.glob("*.arrow")] == ["shard-00000.arrow"]


def test_a_changed_file_is_refused_when_verified(packed: Packed) -> None:
    open_packed(packed.folder, verify=True)
    path = packed.folder / "shard-00002.arrow"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataMissing, match=r"shard-00002.*damaged"):
        open_packed(packed.folder, verify=True)


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path, packed: Packed) -> None:
    with pytest.raises(DataMissing, match=r"no index.json"):
        open_packed(tmp_path)
    path = packed.folder / "shard-00001.arrow"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataMissing, match="not a whole Arrow file"):
        open_packed(packed.folder)
    path.unlink()
    with pytest.raises(DataMissing, match="missing"):
        open_packed(packed.folder)


def test_an_interrupted_write_leaves_no_index(tmp_path: Path, packed: Packed) -> None:
    with pytest.raises(ValueError, match="ids"):
        write(packed.folder, [*made(20), PackedRow([1, 2, 3])])
    with pytest.raises(DataMissing):
        open_packed(packed.folder)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (PackedRow([VOCAB] * (CONTEXT + 1)), "vocabulary"), (PackedRow([-1] * (CONTEXT + 1)), "vocabulary"),
        (PackedRow([1] * (CONTEXT + 1), (3,)), "starts"), (PackedRow([1] * (CONTEXT + 1), (0, 5, 5)), "starts"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_refused(tmp_path: Path, row: PackedRow, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        write(tmp_path / "bad", [row])


def test_stages_must_come_in_order(tmp_path: Path) -> None:
    rows = [PackedRow([1] * (CONTEXT + 1), stage=1), PackedRow([1] * (CONTEXT + 1), stage=0)]
    with pytest.raises(ValueError, match="order"):
        write(tmp_path / "bad", rows)


def test_no_rows_and_numbers_out_of_range(tmp_path: Path, packed: Packed) -> None:
    assert len(write(tmp_path / "none", [])) == 0
    for wrong in (-1, 40):
        with pytest.raises(IndexError):
            packed.row(wrong)
        with pytest.raises(IndexError):
            packed.rows([0, wrong])


def test_a_worker_gets_the_rows_by_pickle_of_the_path_alone(packed: Packed) -> None:
    raw = pickle.dumps(packed)
    assert len(raw) < 1000
    assert np.array_equal(pickle.loads(raw).row(33), packed.row(33))


@settings(max_examples=30, deadline=None)
@given(wanted=st.lists(st.integers(0, 39), max_size=60))
def test_any_gather_equals_row_by_row(tmp_path_factory: pytest.TempPathFactory, wanted: list[int]) -> None:
    folder = tmp_path_factory.getbasetemp() / "gather"
    packed = open_packed(folder) if (folder / "index.json").is_file() else write(folder, made(40))
    assert packed.rows(wanted).tolist() == [packed.row(i).tolist() for i in wanted]
