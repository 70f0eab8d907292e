"""A folder that the recipe wrote, as the service loads and reads it: verified, in windows, stage by stage."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from slipway_reranker.app import load_scorer
from slipway_reranker.blend import NO_LEAD, Blend, Enough, expected_signals
from slipway_reranker.cross_encoder import CrossEncoder, stages
from slipway_reranker.evidence import Calibration
from slipway_reranker.overlap import Match
from slipway_reranker.pairs import SPECIAL_TOKENS, PairReader, PairTokenizer, Reading
from slipway_reranker.scorer import ScorerMissing
from slipway_reranker.settings import RerankerSettings
from slipway_shared.encoding.choice import Choice
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

EMBEDDED = Path(__file__).parents[2] / "models" / "slipway-reranker"
TIDE = "The tide turns twice a day and nobody minds. "


class Counting:
    """A session whose logit is 8 for pairs that hold the token 7, else -8, and which counts the pairs that it was given."""

    choice = Choice("onnxruntime", False, "as set")

    def __init__(self) -> None:
        self.pairs = 0
        self.widths: list[int] = []

    def run(self, feeds: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        ids = feeds["input_ids"]
        self.pairs += len(ids)
        self.widths.append(ids.shape[1])
        return np.where((ids == 7).any(axis=1, keepdims=True), 8.0, -8.0).astype(np.float32)


def encoder(session: Counting, lead: float = NO_LEAD, batch_tokens: int = 4096, lift: float = 0.0) -> CrossEncoder:
    vocabulary = {word: i for i, word in enumerate(["[UNK]", "a", "b", "c", "d", "e", "f", "answer", "question"])}
    pieces = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    pieces.pre_tokenizer = Whitespace()
    pieces.enable_truncation(40)
    reader = PairReader(session, cast(PairTokenizer, pieces), Reading(40, window=True), batch_tokens)
    one = Calibration(0.0, (1.0, 0.0, 0.0))
    # Nothing is expected of a passage but what the first stage's score says.
    alone, scored = (Enough(Calibration(0.0, (0.0, first, 0.0, 0.0, 0.0, 0.0)), lead) for first in (0.0, 20.0))
    return CrossEncoder("counting", reader, Blend(one, Calibration(0.0, (1.0, 0.0, 20.0)), enough=alone, scored_enough=scored, lift=lift))


def relevance(scorer: CrossEncoder, documents: Sequence[str], scores: Sequence[float] | None = None) -> tuple[float, ...]:
    return scorer.score("question", documents, scores).relevance


def test_reading_ends_where_a_passage_is_far_ahead() -> None:
    session = Counting()
    found = relevance(encoder(session, lead=5.0), ["a"] * 2 + ["answer"] + ["b"] * 17)
    assert session.pairs == 5
    assert max(range(20), key=lambda i: found[i]) == 2
    assert found[5:] == (0.5,) * 15, "what was not read has what is expected of it"


def test_a_passage_that_says_what_the_best_one_says_is_lifted_towards_it() -> None:
    documents = ["answer a b c", "d e f", "a b c"]
    plain, lifting = encoder(Counting()), encoder(Counting(), lift=0.5)
    first, second = relevance(plain, documents), relevance(lifting, documents)
    assert first[1] == first[2]
    assert second[0] == first[0]
    assert second[1] < second[2] < second[0]


def test_a_passage_of_which_as_much_is_expected_is_read_too() -> None:
    session, documents = Counting(), ["answer"] + ["a"] * 19
    relevance(encoder(session, lead=5.0), documents, [0.5] * 20)
    assert session.pairs == 5
    relevance(encoder(session, lead=5.0), documents, [0.5] * 19 + [0.9])
    assert session.pairs == 5 + 20


def test_what_is_expected_needs_no_reading() -> None:
    match = Match(0.5, 0.25, 0.125)
    assert expected_signals(match, 0, None) == (1.0, 0.0, 0.0, 0.5, 0.25, 0.125)
    assert expected_signals(match, 1, [0.75, 0.5])[1:3] == (0.5, -0.25)


def test_the_usual_shapes_are_read_before_the_first_call() -> None:
    compiled, plain = Counting(), Counting()
    compiled.choice = Choice("openvino", True, "as set")
    encoder(compiled).warm(60)
    assert set(compiled.widths) == {20, 28, 36, 44}
    assert compiled.pairs == 4 * (5 + 10)
    encoder(plain).warm(60)
    assert len(plain.widths) == 1


def test_without_one_that_is_far_ahead_everything_is_read_stage_by_stage() -> None:
    session = Counting()
    found = relevance(encoder(session, lead=5.0), ["a"] * 19 + ["answer"])
    assert session.pairs == 20
    assert max(range(20), key=lambda i: found[i]) == 19
    assert stages(20) == [(0, 5), (5, 10), (10, 20)]
    assert stages(12) == [(0, 5), (5, 10), (10, 12)]
    assert stages(1) == [(0, 1)]


def test_the_first_stages_scores_count_where_they_are_told() -> None:
    documents, scores = ["a"] * 3, [0.1, 0.9, 0.5]
    assert len(set(relevance(encoder(Counting()), documents))) == 1
    found = relevance(encoder(Counting()), documents, scores)
    assert sorted(range(3), key=lambda i: -found[i]) == [1, 2, 0]


def test_a_long_passage_is_read_where_the_questions_words_stand_and_said_to_be_cut() -> None:
    session = Counting()
    scored = encoder(session).score("question", [TIDE * 30 + "question answer " + TIDE * 30, "answer"])
    assert scored.relevance[0] > 0.99
    assert scored.truncated == (0,)
    assert max(session.widths) <= 40


def test_batches_hold_the_token_budget() -> None:
    session = Counting()
    relevance(encoder(session, batch_tokens=128), ["a " * 30] * 20)
    assert session.pairs == 20
    assert len(session.widths) == 7  # stages of 5, 5 and 10 pairs of 31 tokens, four at once


def test_a_calibration_of_another_form_is_refused(tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copyfile(EMBEDDED / name, tmp_path / name)
    for raw in (
        '{"relevance": {"bias": 0, "weights": [1]}, "scored": {"bias": 0, "weights": [1]}, "evidence": {"bias": 0, "weights": [1]}}',
        "[]",
    ):
        (tmp_path / "calibration.json").write_text(raw)
        with pytest.raises(ScorerMissing, match=r"another number of weights|no calibration"):
            load_scorer(RerankerSettings(scorer=str(tmp_path)))


def test_how_a_model_reads_is_in_its_folder_and_settings_win(tmp_path: Path) -> None:
    assert Reading.of(tmp_path, RerankerSettings()) == Reading(192, window=False)
    (tmp_path / "reading.json").write_text(json.dumps({"max_pair_tokens": 96, "window": True}))
    assert Reading.of(tmp_path, RerankerSettings()) == Reading(96, window=True)
    assert Reading.of(tmp_path, RerankerSettings(max_pair_tokens=128)) == Reading(128, window=True)
    (tmp_path / "reading.json").write_text('{"max_pair_tokens": "many"}')
    with pytest.raises(ScorerMissing, match="how the model reads"):
        Reading.of(tmp_path, RerankerSettings())


def test_a_long_question_is_read_whole_and_leaves_room_for_passages() -> None:
    reading = Reading(96, window=True)
    short, long, endless = "who eats fish", "word " * 100, "word " * 1000
    assert reading.room(short) == 96 - 3 - SPECIAL_TOKENS
    assert reading.room(long) == 48
    assert 100 + reading.room(long) + SPECIAL_TOKENS <= reading.longest
    assert reading.room(endless) == 24
    assert Reading(192).longest == 192


def test_a_file_with_one_byte_changed_is_refused(tmp_path: Path) -> None:
    for file in EMBEDDED.iterdir():
        shutil.copyfile(file, tmp_path / file.name)
    raw = bytearray((tmp_path / "model.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "model.onnx").write_bytes(raw)
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
