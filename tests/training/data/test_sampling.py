from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slipway_training.cli import app
from slipway_training.data.index import PackedRow
from slipway_training.data.losses import row_losses
from slipway_training.data.packed import Packed, write_packed
from slipway_training.data.sampling import Weighing, read_numbers, sample_rows, weigh, write_numbers
from slipway_training.data.speed import measure
from slipway_training.errors import ConfigError, DataMissing
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner

VOCAB, CONTEXT = 64, 16


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    rng = np.random.default_rng(3)
    rows = [PackedRow(rng.integers(0, VOCAB, CONTEXT + 1), (0,), "a" if i % 4 else "b", stage=int(i >= 24)) for i in range(40)]
    return write_packed(tmp_path / "rows", rows, context=CONTEXT, vocab_size=VOCAB, tokenizer_sha256="ab", shard_rows=16)


def model_folder(folder: Path, vocab: int = VOCAB) -> Path:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, initializer_range=0.5
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@settings(max_examples=60, deadline=None)
@given(
    losses=st.lists(st.floats(0, 20, allow_nan=False), min_size=2, max_size=80),
    strength=st.floats(0, 4),
    noise=st.sampled_from([0.0, 0.01, 0.2]),
)
def test_weights_are_bounded_and_keep_the_shares_of_sources(losses: list[float], strength: float, noise: float) -> None:
    how = Weighing(strength=strength, noise=noise)
    sources = np.arange(len(losses)) % 2
    got = weigh(np.array(losses), sources, how)
    assert (got >= how.lowest - 1e-9).all() and (got <= how.highest + 1e-9).all()
    for source in (0, 1):
        assert got[sources == source].mean() == pytest.approx(1, abs=1e-6)


def test_harder_rows_weigh_more_except_the_very_hardest() -> None:
    losses = np.linspace(1, 5, 200)
    got = weigh(losses, np.zeros(200, int), Weighing(noise=0.02))
    assert (np.diff(got[:196]) >= 0).all() and got[0] < 0.6 and got[190] > 1.5
    assert (got[-4:] <= 1.0).all()


def test_a_harder_source_is_not_seen_more() -> None:
    losses = np.concatenate([np.random.default_rng(1).normal(2, 0.3, 100), np.random.default_rng(2).normal(6, 0.3, 100)])
    got = weigh(losses, np.repeat([0, 1], 100), Weighing())
    assert got[:100].sum() == pytest.approx(got[100:].sum())
    with pytest.raises(ValueError, match="finite"):
        weigh(np.array([1.0, np.nan]), np.zeros(2, int), Weighing())


def test_an_epoch_takes_rows_by_weight_in_stage_order(packed: Packed) -> None:
    weights = np.where(np.arange(40) % 2, 1.5, 0.5)
    epochs = np.stack([sample_rows(packed, weights, epoch, seed=7) for epoch in range(400)])
    assert epochs.shape == (400, 40)
    assert (epochs[:, :24] < 24).all() and (epochs[:, 24:] >= 24).all()
    seen = np.bincount(epochs.reshape(-1), minlength=40) / 400
    assert np.allclose(seen, weights, atol=0.12)
    per_epoch = np.stack([np.bincount(e, minlength=40) for e in epochs])
    assert per_epoch[:, weights > 1].min() >= 1 and per_epoch.max() == 2


def test_an_epoch_depends_on_seed_and_number_alone(packed: Packed) -> None:
    weights = np.ones(40)
    one, same, other, later = (sample_rows(packed, weights, e, s) for e, s in ((0, 1), (0, 1), (0, 2), (1, 1)))
    assert np.array_equal(one, same) and not np.array_equal(one, other) and not np.array_equal(one, later)
    assert sorted(one.tolist()) == list(range(40)), "equal weights are a permutation of each stage"
    with pytest.raises(ValueError, match="39 weights"):
        sample_rows(packed, np.ones(39), 0, 1)


def test_losses_are_those_of_the_model(packed: Packed, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "hf")
    got = row_losses(packed, folder, 7, lambda _n: None)
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    for i in (0, 13, 39):
        ids = torch.from_numpy(packed.row(i).astype(np.int64))[None]
        with torch.inference_mode():
            wanted = float(model(input_ids=ids, labels=ids).loss)
        assert got[i] == pytest.approx(wanted, abs=1e-4)
    assert got.std() > 0.01
    with pytest.raises(ConfigError, match="another tokenizer"):
        row_losses(packed, model_folder(tmp_path / "small", vocab=32), 8, lambda _n: None)
    with pytest.raises(DataMissing, match=r"config\.json"):
        row_losses(packed, tmp_path / "none", 8, lambda _n: None)


def run(*words: Any) -> str:
    result = CliRunner().invoke(app, ["data", *map(str, words)])
    assert result.exit_code in (0, 2), result.output
    return result.output


def test_from_a_model_to_weights_by_the_commands(packed: Packed, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "hf")
    assert "mean loss" in run("losses", packed.folder, "--model", folder, "--to", tmp_path / "l.parquet")
    assert "weights" in run("weights", packed.folder, "--losses", tmp_path / "l.parquet", "--to", tmp_path / "w.parquet")
    losses, weights = (read_numbers(tmp_path / f"{n[0]}.parquet", n, packed) for n in ("loss", "weight"))
    assert np.allclose(weigh(losses, packed.row_sources(), Weighing()), weights, atol=1e-6)
    assert "highest" in run("weights", packed.folder, "--losses", tmp_path / "l.parquet", "--to", tmp_path / "w.parquet", "--highest", 99)


def test_numbers_of_other_rows_are_refused(packed: Packed, tmp_path: Path) -> None:
    write_numbers(tmp_path / "l.parquet", "loss", np.ones(40), packed)
    row = PackedRow([1] * (CONTEXT + 1))
    other = write_packed(tmp_path / "other", [row], context=CONTEXT, vocab_size=VOCAB, tokenizer_sha256="ab")
    with pytest.raises(DataMissing, match="other rows"):
        read_numbers(tmp_path / "l.parquet", "loss", other)
    with pytest.raises(DataMissing, match="no weight"):
        read_numbers(tmp_path / "l.parquet", "weight", packed)
    with pytest.raises(DataMissing, match="no file"):
        read_numbers(tmp_path / "none.parquet", "loss", packed)


def test_speed_is_measured_on_equal_rows_beside_the_peer(packed: Packed) -> None:
    ours, peer = measure(packed, 4, 0.05)
    assert ours.tokens_per_second == pytest.approx(ours.rows_per_second * CONTEXT)
    assert ours.rows_per_second > 0 and peer.rows_per_second > 0
    assert "Packed.rows" in run("speed", packed.folder, "--seconds", 0.1)
