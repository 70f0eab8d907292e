"""The recipe on a toy BERT: lists in, a network that learns from them and from a teacher, that goes on after a stop, and that comes back out of its own graph."""

import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from slipway_training.cli import app
from slipway_training.errors import DataMissing
from slipway_training.reranker import loop, start
from slipway_training.reranker.config import DataConfig, RerankerConfig
from slipway_training.reranker.lists import Example, Reading, cut, read
from slipway_training.reranker.made import tokenizer
from slipway_training.reranker.model import Reranker
from slipway_training.reranker.recipe import parts_of, run
from torch import Tensor
from transformers import BertModel
from typer.testing import CliRunner


def weights(model: Reranker) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def with_run(config: RerankerConfig, **changes: object) -> RerankerConfig:
    return config.model_copy(update={"run": config.run.model_copy(update=changes)})


def test_shut_off_from_each_other_query_and_passage_are_what_the_base_makes_of_them(base: Path) -> None:
    made = start.load(str(base)).eval()
    for name, parameter in made.named_parameters():
        if name.endswith("across"):
            parameter.data.fill_(-1e4)
    made.tokens.data.fill_(0.0)
    bert = BertModel.from_pretrained(base).eval()
    ask, passage = [1, 5, 4, 2], [1, 4, 6, 7, 2]
    with torch.inference_mode():
        means = [bert(input_ids=torch.tensor([ids])).last_hidden_state.mean(1) for ids in (ask, passage)]
        padded = torch.tensor([[*ask, *passage, 0, 0]])
        mask, types = torch.tensor([[1] * 9 + [0] * 2]), torch.tensor([[0] * 4 + [1] * 5 + [0] * 2])
        logit = made(padded, mask, types).item()
    assert logit == pytest.approx(10 * torch.nn.functional.cosine_similarity(*means).item(), abs=1e-4)


def test_the_served_graph_comes_back_as_the_network_that_it_was_made_from(trained: Path) -> None:
    back, before = start.load(str(trained)).eval(), start.load(str(trained.parent / "hf")).eval()
    assert weights(back).keys() == weights(before).keys()
    for name, tensor in weights(back).items():
        torch.testing.assert_close(tensor, weights(before)[name], atol=0.02, rtol=0.02)


def test_layers_are_left_out_by_number(base: Path) -> None:
    whole, part = start.load(str(base)), start.load(str(base), (0, 2))
    assert len(part.layers) == part.shape["num_hidden_layers"] == 2
    torch.testing.assert_close(part.layers[1].state_dict(), whole.layers[2].state_dict())
    with pytest.raises(DataMissing, match="3 layers"):
        start.load(str(base), (0, 3))
    with pytest.raises(DataMissing, match="neither"):
        start.load(str(base.parent))


def test_a_stopped_run_goes_on_to_the_same_weights(tiny: RerankerConfig, tmp_path: Path) -> None:
    short = with_run(tiny, epochs=4, minutes=0)
    unbroken = parts_of(short)
    assert loop.run(unbroken, with_run(short, out=str(tmp_path / "one")), lambda _line: None)
    stopped = parts_of(short)

    def stop(line: str) -> None:
        if line.startswith("step 20 "):
            os.kill(os.getpid(), signal.SIGTERM)

    assert not loop.run(stopped, with_run(short, out=str(tmp_path / "two")), stop)
    again = parts_of(short)
    assert loop.run(again, with_run(short, out=str(tmp_path / "two")), lambda _line: None)
    torch.testing.assert_close(weights(again.model), weights(unbroken.model))


def test_frozen_layers_stay_as_they_were(tiny: RerankerConfig, tmp_path: Path) -> None:
    config = tiny.model_copy(update={"model": tiny.model.model_copy(update={"freeze_layers": 1})})
    parts = parts_of(with_run(config, epochs=2, minutes=0))
    before = weights(parts.model)
    assert loop.run(parts, with_run(config, epochs=2, minutes=0, out=str(tmp_path)), lambda _line: None)
    changed = {name for name, tensor in weights(parts.model).items() if not torch.equal(tensor, before[name])}
    assert not [name for name in changed if name.startswith(("layers.0.", "words", "places", "parts", "norm"))]
    assert [name for name in changed if name.startswith("layers.1.")]


def test_a_teacher_is_followed(tiny: RerankerConfig) -> None:
    config = tiny.model_copy(update={"distil": tiny.distil.model_copy(update={"share": 0.0, "margin": 1.0})})
    item = Example([[1]] * 3, [[0]] * 3, [])
    same = torch.tensor([3.0, 1.0, -1.0])
    alone = loop.list_loss(item, same, None, config)
    torch.testing.assert_close(loop.list_loss(item, same, same + 7, config), alone)  # margins are compared, not levels
    torch.testing.assert_close(loop.list_loss(item, same, torch.tensor([3.0, 1.0, 2.0]), config), alone + torch.tensor(2.0))


def test_a_smaller_network_is_distilled_from_lists(base: Path, houses: Path, tmp_path: Path) -> None:
    raw = {
        "model": {"base": str(base), "keep": [0, 2], "max_tokens": 16, "window_tokens": 16, "freeze_words": False},
        "data": {"lists": str(houses), "negatives": 3, "held_out": True, "limit": {"homes": 10}},
        "distil": {"teacher": str(base)},
        "optim": {"learning_rate": 1e-3, "step_tokens": 256},
        "run": {"out": str(tmp_path / "run"), "epochs": 2},
    }
    assert run(RerankerConfig.model_validate(raw), Console(quiet=True))
    assert (tmp_path / "run" / "served" / "reading.json").read_text() == '{"max_pair_tokens": 16, "window": true}\n'
    assert len(start.load(str(tmp_path / "run" / "hf")).layers) == 2


def test_which_lists_are_read(houses: Path, tmp_path: Path) -> None:
    everything = read(houses, DataConfig())
    assert len(everything) == 60
    assert {row.found for row in everything} == {4}
    learnt = read(houses, DataConfig(held_out=True))
    assert 30 < len(learnt) < 60
    assert not any(row.held_out for row in learnt)
    assert len(read(houses, DataConfig(limit={"homes": 7}, repeat={"houses": 2}))) == 7 + 2 * 30
    (tmp_path / "turned.jsonl").write_text("\n".join(reversed(houses.read_text().splitlines())))
    some = [{row.query for row in read(path, DataConfig(limit={"homes": 7}))} for path in (houses, tmp_path / "turned.jsonl")]
    assert some[0] == some[1]
    with pytest.raises(DataMissing, match=r"evaluate\.mine"):
        read(tmp_path / "none.jsonl", DataConfig())


def test_training_reads_what_the_service_reads() -> None:
    text = "grey " * 60 + "red house " + "grey " * 60
    seen = cut("red house", [text, "house blue"], 24)
    assert "red house" in seen[0]
    assert len(seen[0]) < 150
    ids, types = Reading(tokenizer(24), 24).pairs("red house", [text])
    assert len(ids[0]) <= 24
    assert types[0][:4] == [0, 0, 0, 0]


def test_a_dry_run_measures_and_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "reranker", "--tiny", "--dry-run", f"run.out={tmp_path}/run"])
    assert result.exit_code == 0, result.output
    for word in ("parameters", "tokens", "MB", "tokens/s", "expected"):
        assert word in result.output
    assert not (tmp_path / "run").exists()
