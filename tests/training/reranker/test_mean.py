"""The mean of two networks' weights, as a folder that the reranker serves."""

from pathlib import Path

import pytest
import torch
from slipway_reranker.app import load_scorer
from slipway_reranker.settings import RerankerSettings
from slipway_training.reranker import start
from slipway_training.reranker.mean import main


def test_it_is_between_the_two_and_can_be_served(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = start.load(str(trained))
    with torch.no_grad():
        other.tokens.add_(2.0)
    other.save(tmp_path / "other")
    assert main([str(trained), str(tmp_path / "other"), "--share", "0.75", "--out", str(tmp_path / "mean")]) == 0
    before, after = (float(start.load(str(folder)).tokens.detach()) for folder in (trained, tmp_path / "mean"))
    assert after == pytest.approx(before + 0.5, abs=1e-4)
    assert (tmp_path / "mean" / "reading.json").read_bytes() == (trained / "reading.json").read_bytes()
    assert load_scorer(RerankerSettings(scorer=str(tmp_path / "mean"))).score("red house", ["house red"]).relevance


def test_networks_of_two_shapes_have_no_mean(trained: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(trained), str(base), "--out", str(tmp_path / "mean")]) == 2
    assert "not the same shape" in capsys.readouterr().err
