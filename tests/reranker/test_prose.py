"""Which lists are prose, and who reads them."""

import json
import shutil
from pathlib import Path

import pytest
from slipway_reranker import blending
from slipway_reranker.app import load_scorer
from slipway_reranker.cross_encoder import CrossEncoder
from slipway_reranker.prose import ByKind, is_prose, words
from slipway_reranker.scorer import Scored, ScorerMissing
from slipway_reranker.settings import RerankerSettings

EMBEDDED = Path(__file__).parents[2] / "models" / "slipway-reranker"

PROSE = "The harbour has nine piers (and a lighthouse of stone), built in 1911 by the town's well-known mason."
TABLE = "| Year | Piers | Tons |\n| 1911 | 9 | 120,000 |\n| 1912 | 11 | 140,500 |"
CODE = "def count(piers):\n    return sum(1 for one in piers if one.open)"
TRACEBACK = "x = np.arange(100)\ntrain.append(x[i:i+10])\nAttributeError: 'numpy.ndarray' object has no attribute 'append'"
QUESTION = "How many piers does the harbour have?"


class Named:
    """A scorer that says who it is by its evidence."""

    def __init__(self, evidence: float) -> None:
        self.name, self._evidence, self.seconds = "named", evidence, 0.0

    def score(self, query: str, documents: object, scores: object = None) -> Scored:
        return Scored((0.5,), self._evidence)

    def warm(self, seconds: float) -> None:
        self.seconds = seconds


@pytest.mark.parametrize(
    ("query", "documents", "expected"),
    [
        (QUESTION, [PROSE], True),
        (QUESTION, [PROSE, PROSE, TABLE], True),
        (QUESTION, [PROSE, TABLE, CODE], False),
        (TRACEBACK, [PROSE], False),
        ("Wie viele Brücken überspannen den Fluss?", ["Über den Fluss führen fünf Brücken, die älteste ist aus Stein."], True),
        ("", [""], True),
    ],
)
def test_prose_is_a_question_in_words_over_passages_of_words(query: str, documents: list[str], expected: bool) -> None:
    assert is_prose(query, documents) is expected


def test_numbers_and_names_of_code_are_no_words() -> None:
    assert words("nine piers, 'twas well-known") == 1.0
    assert words("x[i:i+10] np.arange(100) 1911 120,000") == 0.0
    assert words("word " * 1000 + "1 " * 100_000) == 1.0  # only the beginning is looked at


def test_each_list_goes_to_the_scorer_of_its_kind_and_both_are_warmed() -> None:
    prose, other = Named(0.9), Named(0.1)
    both = ByKind(prose, other)
    assert both.score(QUESTION, [PROSE]).evidence == 0.9
    assert both.score(QUESTION, [TABLE], [0.3]).evidence == 0.1
    both.warm(4.0)
    assert prose.seconds + other.seconds == 4.0
    assert both.name == "named"


def test_the_embedded_model_reads_prose_in_longer_pairs_unless_the_settings_name_a_length() -> None:
    settings = RerankerSettings(scorer=str(EMBEDDED), engine="onnxruntime")
    assert isinstance(load_scorer(settings), ByKind)
    assert isinstance(load_scorer(settings.model_copy(update={"max_pair_tokens": 64})), CrossEncoder)


def test_prose_is_calibrated_only_where_it_is_read_in_its_own_way(tmp_path: Path) -> None:
    for name in ("model.onnx", "tokenizer.json"):
        shutil.copyfile(EMBEDDED / name, tmp_path / name)
    (tmp_path / "reading.json").write_text(json.dumps({"max_pair_tokens": 96, "window": True}))
    with pytest.raises(ScorerMissing, match="no prose_pair_tokens"):
        blending.fit(tmp_path, [], prose=True)
