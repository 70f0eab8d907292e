"""Putting the embedded models together from the command line's side."""

import shutil
from pathlib import Path

import pytest
from slipway_cli import models, weights

SHIPPED = Path(__file__).parents[2] / "models"


def test_what_is_missing_is_put_together_once(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "borrowed", tmp_path / "borrowed")
    assert weights.restore(tmp_path) == ["slipway-reader/int8/model.onnx", "slipway-reranker/model.onnx"]
    for name in ("slipway-reader/int8/model.onnx", "slipway-reranker/model.onnx"):
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes()
    assert weights.restore(tmp_path) == []


def test_a_folder_that_borrows_nothing_is_left_alone(tmp_path: Path) -> None:
    assert weights.restore(tmp_path) == []


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "borrowed").mkdir()
    (tmp_path / "borrowed" / "x.safetensors").write_bytes(b"cut off")
    with pytest.raises(models.ModelError, match="an embedded model cannot be put together"):
        weights.restore(tmp_path)
