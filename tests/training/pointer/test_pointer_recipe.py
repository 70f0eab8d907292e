"""The pointer recipe end to end on a tiny network: lists, loss, restart, export, and that what is measured is what is served."""

import json
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from rich.console import Console
from slipway_generator.engines.spans import Decision, SpanFinder
from slipway_shared.encoding.session import open_graph
from slipway_shared.grounding import fence, is_grounded
from slipway_shared.manifest import load_verified
from slipway_training.config import load_typed
from slipway_training.device import device, name_of
from slipway_training.errors import CheckpointError, ExportError
from slipway_training.evaluation.pointers import PointerReader
from slipway_training.pointer.batches import encoded
from slipway_training.pointer.card import GPU, write_pointer_card
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.encode import pair_batch
from slipway_training.pointer.lists import AskList, Shape, Source, occurrences
from slipway_training.pointer.model import list_loss
from slipway_training.pointer.recipe import export_run, run_pointer
from slipway_training.pointer.train import MACHINE, newest
from slipway_training.pointer.vocabulary import kept, wordpiece
from slipway_training.sources.fixture import fixture_pages
from tokenizers import Tokenizer

RECIPE = Path(__file__).parents[3] / "training" / "recipes" / "pointer" / "config.yaml"


def quiet() -> Console:
    return Console(quiet=True)


@pytest.fixture
def source() -> Source:
    return Source("fixture", list(fixture_pages(Random(1))))


def test_a_list_holds_its_answer_once_or_not_at_all(source: Source) -> None:
    made = [item for item, _ in zip(source.lists(Random(2), Shape(4, 0.3, 0.5)), range(200), strict=False)]
    without = [item for item in made if item.gold < 0]
    assert 30 <= len(without) <= 90
    for item in made:
        assert len(item.passages) == 4
        if item.gold >= 0:
            start, end = item.spans[0]
            answer = item.passages[item.gold][start:end]
            assert answer.strip()
            assert item.gold == next(place for place, passage in enumerate(item.passages) if occurrences(passage, answer))


def test_occurrences_are_whole_words() -> None:
    assert occurrences("port 80, port 8080, port 80.", "80") == ((5, 7), (25, 27))
    assert occurrences("nothing", "") == ()


def test_positions_spell_the_answer(source: Source, tiny_bert: Path) -> None:
    tokenizer = wordpiece((tiny_bert / "vocab.txt").read_text(encoding="utf-8").splitlines())
    for item, _ in zip(source.lists(Random(3), Shape(3, 0.2, 0.0)), range(40), strict=False):
        batch = pair_batch(tokenizer, [item], 96)
        marked = batch.starts[0].nonzero().tolist()
        if item.gold < 0:
            assert marked == [[0, 0], [1, 0], [2, 0]]
            continue
        if marked[0][1] == 0:
            continue  # the answer was cut off
        tokenizer.enable_truncation(96, strategy="only_second")
        pair = tokenizer.encode(item.question, item.passages[item.gold])
        (_, first), (_, last) = marked[0], batch.ends[0].nonzero().tolist()[0]
        start, end = item.spans[0]
        assert item.passages[item.gold][pair.offsets[first][0] : pair.offsets[last][1]] == item.passages[item.gold][start:end]


def test_the_loss_is_the_likelihood_over_the_whole_list(tiny_bert: Path) -> None:
    tokenizer = wordpiece((tiny_bert / "vocab.txt").read_text(encoding="utf-8").splitlines())
    item = AskList("x", "which port", ("the port is edge", "the file holds"), 0, ((12, 16),))
    batch = pair_batch(tokenizer, [item], 96)
    logits = torch.zeros(2, batch.ids.shape[1], 2)
    loss, _ = list_loss(logits, batch)
    assert loss.item() == pytest.approx(np.log(int(batch.allowed.sum())), rel=1e-5)
    logits[0, batch.starts[0, 0].nonzero()[0, 0], 0] = logits[0, batch.ends[0, 0].nonzero()[0, 0], 1] = 50.0
    loss, right = list_loss(logits, batch)
    assert loss.item() == pytest.approx(0.0, abs=1e-4)
    assert right == 1.0


def test_a_cut_vocabulary_still_spells_every_word(tiny_bert: Path) -> None:
    vocabulary = (tiny_bert / "vocab.txt").read_text(encoding="utf-8").splitlines()
    keep = kept(vocabulary, ["the port of the edge"] * 3, 90)
    assert keep == sorted(keep)
    pieces = wordpiece([vocabulary[i] for i in keep]).encode("the gateway listens", add_special_tokens=False).tokens
    assert "[UNK]" not in pieces
    assert "".join(piece.removeprefix("##") for piece in pieces) == "thegatewaylistens"


def test_a_run_stops_goes_on_and_exports_what_is_served(tiny_pointer: PointerConfig, tmp_path: Path) -> None:
    half = tiny_pointer.model_copy(update={"run": tiny_pointer.run.model_copy(update={"out": str(tmp_path / "stopped")})})
    assert run_pointer(tiny_pointer, quiet())
    whole = newest(tmp_path / "run", tiny_pointer)
    # The same run, its last checkpoint lost: the one before it is taken up, and the end is the same to the bit.
    assert run_pointer(half, quiet())
    checkpoints = sorted((tmp_path / "stopped" / "checkpoints").glob("step-*"))
    (checkpoints[-1] / "model.safetensors").write_bytes(b"cut off")
    assert run_pointer(half, quiet())
    again = newest(tmp_path / "stopped", half)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    # Another run can start where this one ended.
    further = half.model_copy(
        update={"run": half.run.model_copy(update={"out": str(tmp_path / "further"), "init_from": str(tmp_path / "run")})}
    )
    assert run_pointer(further, quiet())
    assert (tmp_path / "further" / "vocab.txt").read_text() == (tmp_path / "run" / "vocab.txt").read_text()
    folder = tmp_path / "run" / "flavors" / "int8"
    assert load_verified(folder).manifest.engine == "pointer"
    _same_answers(folder)


def test_a_run_that_other_processes_feed_goes_on_as_it_would_have(tiny_pointer: PointerConfig, source: Source, tiny_bert: Path) -> None:
    config = tiny_pointer.model_copy(update={"run": tiny_pointer.run.model_copy(update={"workers": 2})})
    tokenizer = wordpiece((tiny_bert / "vocab.txt").read_text(encoding="utf-8").splitlines())
    whole = [batch.ids for batch in islice(encoded([source], tokenizer, config), 7)]
    for first in (0, 3, 4):
        rest = [batch.ids for batch in islice(encoded([source], tokenizer, config, first), 7 - first)]
        assert all(torch.equal(a, b) for a, b in zip(whole[first:], rest, strict=True))


def test_the_card_says_on_what_the_weights_were_made_and_how_to_make_them(tiny_pointer: PointerConfig, tmp_path: Path) -> None:
    assert run_pointer(tiny_pointer, quiet())
    run, card = Path(tiny_pointer.run.out), tmp_path / "README.md"
    flavors = [load_verified(run / "flavors" / "int8")]
    write_pointer_card(run, flavors, {}, card)
    text = card.read_text(encoding="utf-8")
    assert "tuned on 48 lists" in text
    assert ("one thread of a shared CPU" in text) == (name_of(device()) == "CPU")
    (run / MACHINE).write_text('{"device": "ACME G1"}', encoding="utf-8")
    write_pointer_card(run, flavors, {}, card)
    text = card.read_text(encoding="utf-8")
    assert "minutes of one ACME G1)" in text
    assert f"train pointer {GPU}\n" in text
    assert (Path(__file__).parents[3] / GPU.split()[-1]).is_file()


def _same_answers(folder: Path) -> None:
    """The evaluation's reader and the generator's engine point at the same words, windows and all."""
    decision = Decision(**json.loads((folder / "pointer.json").read_text(encoding="utf-8")))
    served = SpanFinder(open_graph(folder / "model.onnx"), Tokenizer.from_file(str(folder / "tokenizer.json")), decision)
    measured = PointerReader(folder)
    passages = ["The edge  listens on port 8080.", "long words " * 40 + "the port", "", "It moves [1] the file."]
    for question in ("Which port?", "what " * 90):
        found, pointed = served.find(question, [fence(p) for p in passages]), measured.point(passages, question)
        assert found is not None
        assert pointed is not None
        assert (found.text, found.passage + 1) == (pointed.text, pointed.number)
        assert found.log_held - found.log_none == pytest.approx(pointed.margin, abs=1e-4)
        assert is_grounded(f"{found.text} [{found.passage + 1}]", [fence(p) for p in passages]) or not found.text.strip(" .,[]")


def test_nothing_to_read_is_not_held(tiny_pointer: PointerConfig) -> None:
    run_pointer(tiny_pointer, quiet())
    assert PointerReader(Path(tiny_pointer.run.out) / "flavors" / "int8").point(["", " "], "Which?") is None


def test_wrong_names_are_told(tiny_pointer: PointerConfig, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(tiny_pointer.model_dump_json(), encoding="utf-8")
    (tmp_path / "run" / "vocab.txt").write_text("[PAD]\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        newest(tmp_path / "run", tiny_pointer)
    run_pointer(
        load_typed(PointerConfig, RECIPE, []).model_copy(
            update={"model": tiny_pointer.model, "data": tiny_pointer.data, "run": tiny_pointer.run}
        ),
        quiet(),
    )
    with pytest.raises(ExportError, match="int3"):
        export_run(tmp_path / "run", tmp_path / "out", ("int3",), quiet())
