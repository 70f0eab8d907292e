"""The recipe on a toy BERT: mined lists in, a folder out that the service loads, verifies and scores with."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from slipway_reranker.app import load_scorer
from slipway_reranker.scorer import ScorerMissing
from slipway_reranker.settings import RerankerSettings
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

REPOSITORY = Path(__file__).parents[2]
COLOURS = ["red", "green", "blue", "white", "black", "grey"]


RECIPE = REPOSITORY / "training/recipes/reranker"


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def houses() -> list[dict[str, object]]:
    rng = Random(5)
    rows: list[dict[str, object]] = []
    for i in range(60):
        colours = rng.sample(COLOURS, 4)
        place = rng.randrange(4)
        documents = [f"house {colour}" for colour in colours]
        row = {"set": "houses", "dense": [0.5] * 4, "words": [0.1] * 4, "found": 4, "documents": documents}
        rows.append({**row, "query": f"{colours[place]} house {i}", "relevant": [place], "answerable": True})
        missing = next(colour for colour in COLOURS if colour not in colours)
        rows.append({**row, "query": f"{missing} house {i}", "relevant": [], "answerable": False})
    return rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_bert(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained, exported and calibrated by the recipe's own commands."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "lists.jsonl").write_text("\n".join(map(json.dumps, houses())), encoding="utf-8")
    settings = (
        "--set",
        "epochs=20",
        "--set",
        "minutes=1",
        "--set",
        "max_tokens=16",
        "--set",
        "learning_rate=0.001",
        "--set",
        "freeze_words=false",
    )
    run(RECIPE / "train.py", folder / "lists.jsonl", "--base", base, "--out", folder / "last", *settings)
    run(RECIPE / "export.py", folder / "last", "--out", folder / "out")
    told = run("-m", "slipway_reranker.calibrate", folder / "lists.jsonl", "--scorer", folder / "out", "--plot", folder / "plot.svg")
    assert "| houses |" in told
    assert (folder / "plot.svg").read_text(encoding="utf-8").startswith("<svg")
    return folder / "out"


def test_it_learns_which_house_is_meant(trained: Path) -> None:
    scorer = load_scorer(RerankerSettings(scorer=str(trained)))
    for colour in COLOURS:
        relevance = scorer.score(f"{colour} house", [f"house {other}" for other in COLOURS]).relevance
        assert max(range(len(COLOURS)), key=lambda i: relevance[i]) == COLOURS.index(colour)


def test_shut_off_from_each_other_query_and_passage_are_what_the_base_makes_of_them(base: Path) -> None:
    sys.path.insert(0, str(RECIPE))
    try:
        from model import Reranker
    finally:
        sys.path.remove(str(RECIPE))
    made = Reranker.start(base).eval()
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


def test_a_calibration_of_another_form_is_refused(trained: Path, tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    (tmp_path / "calibration.json").write_text(
        '{"relevance": {"bias": 0, "weights": [1]}, "evidence": {"bias": 0, "weights": [1]}, "obvious": 1}'
    )
    with pytest.raises(ScorerMissing, match="another number of weights"):
        load_scorer(RerankerSettings(scorer=str(tmp_path)))


def test_the_folder_is_loaded_and_scores_in_the_unit_interval(trained: Path) -> None:
    scorer = load_scorer(RerankerSettings(scorer=str(trained)))
    scored = scorer.score("red house", ["house red", "house blue", "", "house green " * 500])
    assert all(0 < score < 1 for score in (*scored.relevance, scored.evidence))
    assert scored.truncated == (3,)


def test_batching_changes_nothing_but_time(trained: Path) -> None:
    documents = ["house red", "house blue white", "grey", "house " * 40]
    together = load_scorer(RerankerSettings(scorer=str(trained), batch_tokens=4096)).score("red house", documents).relevance
    alone = (
        load_scorer(RerankerSettings(scorer=str(trained), batch_tokens=256, max_pair_tokens=256)).score("red house", documents).relevance
    )
    np.testing.assert_allclose(together, alone, atol=0.02)  # int8 scales depend on the batch


def test_a_file_with_one_byte_changed_is_refused(trained: Path, tmp_path: Path) -> None:
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    model = tmp_path / "model.onnx"
    raw = bytearray(model.read_bytes())
    raw[len(raw) // 2] ^= 1
    model.write_bytes(raw)
    with pytest.raises(ScorerMissing, match="digests differ"):
        load_scorer(RerankerSettings(scorer=str(tmp_path)))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScorerMissing, match=r"without model\.onnx"):
        load_scorer(RerankerSettings(scorer=str(tmp_path)))


def test_a_service_that_cannot_load_its_scorer_does_not_start(tmp_path: Path) -> None:
    environment = {"SLIPWAY_RERANKER_SCORER": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "slipway_reranker", "--port", "0"], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert b"without model.onnx" in done.stderr


def toy_bert(path: Path) -> Path:
    torch.manual_seed(3)
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "house", *COLOURS]
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=512
    )
    BertModel(config).save_pretrained(path)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    return path
