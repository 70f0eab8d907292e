"""What the measures say of models whose inside is known: one that was taught a rule, one that was drawn at random."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from slipway_training.errors import ConfigError
from slipway_training.understand.ablation import Part, ablate, parts_of, silenced
from slipway_training.understand.lens import logit_lens, over_layers
from slipway_training.understand.opened import Opened, hidden_states, open_checkpoint
from slipway_training.understand.probe import features, probe, untrained
from slipway_training.understand.texts import Text, read_texts, self_made
from slipway_training.understand.trace import profile_steps

TURNS = "a d a d a d a d a d a d"


def losses(opened: Opened, ids: Sequence[int]) -> float:
    given = torch.tensor([list(ids)])
    return float(opened.model(input_ids=given, labels=given).loss)


def test_the_last_row_of_a_lens_is_the_model_itself(trained: Opened) -> None:
    lens = logit_lens(trained, TURNS)
    with torch.inference_mode():
        whole = trained.model(input_ids=torch.tensor([trained.ids(TURNS)])).logits[0].softmax(-1)
    assert lens.probability.shape == (4, 12)
    assert lens.probability[-1] == pytest.approx(whole.max(-1).values.numpy(), abs=1e-5)
    assert (lens.rank[-1] == 1).all()
    assert lens.divergence[-1] == pytest.approx(np.zeros(12), abs=1e-6)
    assert lens.said[-1][2:8] == list("dadada")
    assert (lens.next_rank[-1][1:] == 1).all()


def test_a_taught_rule_grows_over_the_layers(trained: Opened, untaught: Opened) -> None:
    layers = over_layers([logit_lens(trained, TURNS)])
    assert layers["probability"][-1] > 0.8 > 0.5 > layers["probability"][0]
    assert layers["divergence"][0] > layers["divergence"][-1]
    assert over_layers([logit_lens(untaught, TURNS)])["probability"][-1] < 0.5


def test_the_stream_is_what_transformers_calls_hidden_states(untaught: Opened) -> None:
    ids = untaught.ids("a b c")
    told = untaught.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states
    ours = hidden_states(untaught.model, ids)
    assert len(ours) == len(told) == 4
    for mine, theirs in zip(ours[:-1], told[:-1], strict=True):
        assert torch.equal(mine, theirs[0])
    assert torch.allclose(untaught.model.model.norm(ours[-1]), told[-1][0])


def test_a_probe_reads_what_is_there_and_nothing_from_shuffled_labels(untaught: Opened) -> None:
    texts = [Text(f"{first} {second}", first) for first in "ab" for second in "cdefgh" for _ in range(4)]
    probed, common = probe(untaught, texts, "mean", lambda: None)
    assert common == 0.5
    assert [p.layer for p in probed] == [0, 1, 2, 3]
    assert probed[0].accuracy.mean == 1.0
    assert probed[0].control < 0.75
    assert probed[0].selectivity.low > 0.2
    # The last token's embedding knows nothing of the first token: only attention can bring it there.
    last, _ = probe(untaught, texts, "last", lambda: None)
    assert last[0].accuracy.mean < 0.7
    assert last[-1].accuracy.mean == 1.0


def test_pooling_and_untrained_weights(untaught: Opened) -> None:
    texts = [Text("a b c", "x")]
    mean, last = features(untaught, texts, "mean"), features(untaught, texts, "last")
    stream = hidden_states(untaught.model, untaught.ids("a b c"))
    assert mean[2][0] == pytest.approx(stream[2].mean(0).numpy())
    assert last[2][0] == pytest.approx(stream[2][-1].numpy())
    fresh = untrained(untaught, seed=5)
    assert not torch.equal(fresh.model.lm_head.weight, untaught.model.lm_head.weight)


def test_a_silenced_head_puts_out_nothing_and_the_model_is_whole_again(trained: Opened) -> None:
    ids, seen = trained.ids(TURNS), list[torch.Tensor]()
    before = losses(trained, ids)

    def look(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])

    with silenced(trained, Part("head", 1, 2, 16, 8), None):
        watch = trained.model.get_submodule("model.layers.1.self_attn.o_proj").register_forward_pre_hook(look)
        losses(trained, ids)
    watch.remove()
    assert (seen[0][..., 16:24] == 0).all()
    assert (seen[0][..., :16] != 0).any()
    assert losses(trained, ids) == before


def test_ablation_finds_the_parts_that_carry_the_rule(trained: Opened) -> None:
    said: list[tuple[int, int]] = []
    found = ablate(trained, [TURNS, "g b g b g b g b"], "zero", 4, lambda done, of: said.append((done, of)))
    assert len(found.effects) == len(parts_of(trained)) + 3 * 4 == said[-1][0] == said[-1][1]
    assert found.base == pytest.approx(np.mean([losses(trained, trained.ids(t)) for t in (TURNS, "g b g b g b g b")]), abs=1e-5)
    worst = max((e for e in found.effects if e.part.kind in ("attention", "mlp")), key=lambda e: e.rise.mean)
    assert worst.rise.mean > 0.5
    assert worst.rise.low <= worst.rise.mean <= worst.rise.high


def test_the_estimate_is_the_slope_of_silencing(untaught: Opened) -> None:
    """For weights this small the loss is nearly linear in one neuron: the estimate and the measured rise agree in size and sign."""
    found = ablate(untaught, [TURNS], "zero", 5, lambda _d, _o: None)
    neurons = [e for e in found.effects if e.part.kind == "neuron"]
    assert len(neurons) == 15
    for effect in neurons:
        assert effect.estimate is not None
        assert effect.rise.mean == pytest.approx(effect.estimate, rel=0.1, abs=1e-6)


def test_mean_filling_of_a_constant_part_changes_nothing(untaught: Opened) -> None:
    """Every token the same: each part puts out its own mean, so filling with it is no change."""
    found = ablate(untaught, ["a " * 12], "mean", 0, lambda _d, _o: None)
    assert max(abs(e.rise.mean) for e in found.effects) < 1e-5
    assert max(abs(e.rise.mean) for e in ablate(untaught, ["a " * 12], "zero", 0, lambda _d, _o: None).effects) > 1e-5


def test_a_profile_names_the_products_and_leaves_a_trace(random_folder: Path, tmp_path: Path) -> None:
    opened = open_checkpoint(random_folder)
    profiled = profile_steps(opened, 2, 16, 2, tmp_path / "trace.json", train=True)
    names = [op.name for op in profiled.operators]
    assert any("mm" in name for name in names)
    assert sum(op.share for op in profiled.operators) == pytest.approx(1.0)
    assert profiled.tokens == 32
    assert '"forward"' in (tmp_path / "trace.json").read_text(encoding="utf-8")


def test_texts_are_read_and_bad_ones_told(tmp_path: Path) -> None:
    made = self_made(40)
    assert len({t.label for t in made}) == 4
    assert all("{" not in t.text and len(t.text.split()) > 2 for t in made)
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": "1"}\n\n{"text": "y"}\n', encoding="utf-8")
    assert read_texts(tmp_path / "a.jsonl") == [Text("x", "1"), Text("y")]
    with pytest.raises(ConfigError, match="a probe wants lines"):
        read_texts(tmp_path / "a.jsonl", labelled=True)
    (tmp_path / "b.jsonl").write_text('{"txt": 1}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="line 1"):
        read_texts(tmp_path / "b.jsonl")
    (tmp_path / "c.txt").write_text("one\n\ntwo\nlines\n", encoding="utf-8")
    assert [t.text for t in read_texts(tmp_path / "c.txt")] == ["one", "two\nlines"]


def test_too_few_texts_of_a_label_are_refused(untaught: Opened) -> None:
    with pytest.raises(ConfigError, match="at least 5"):
        probe(untaught, [Text("a", "x"), Text("b", "y")] * 2, "mean", lambda: None)


def test_only_a_llama_in_a_safe_format_is_opened(random_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        open_checkpoint(tmp_path)
    with pytest.raises(ConfigError, match="no Hugging Face folder"):
        open_checkpoint(tmp_path, random_folder / "tokenizer.json")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="holds a bert"):
        open_checkpoint(tmp_path, random_folder / "tokenizer.json")
