"""The cross-encoder that comes with the repository: verified, loaded, and right where words alone are wrong."""

from pathlib import Path

import pytest
from slipway_reranker.app import load_scorer
from slipway_reranker.scorer import Scorer
from slipway_reranker.settings import RerankerSettings

EMBEDDED = Path(__file__).parents[2] / "models" / "slipway-reranker"
PASSAGES = [
    "Norway > Climate\ntemperate along coast, modified by North Atlantic Current; colder interior with increased precipitation",
    "Norway > Suffrage\n18 years of age; universal",
    "Norway > Coastline\n25,148 km (includes mainland and islands)",
    "Norway > Religions\nChurch of Norway (Evangelical Lutheran) 67.5%, Muslim 3.1%, Roman Catholic 3.1%",
    "Sweden > Religions\nChurch of Sweden (Lutheran) 53.9%, other 8.9%, none or unspecified 37.2%",
]


@pytest.fixture(scope="module")
def embedded() -> Scorer:
    return load_scorer(RerankerSettings(scorer=str(EMBEDDED)))


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("How old must one be to vote in Norway?", 1),
        ("What do Norwegians believe in?", 3),
        ("Is it cold in Norway?", 0),
        ("To which church do people in Sweden belong?", 4),
    ],
)
def test_it_reads_meaning_where_no_word_is_shared(embedded: Scorer, query: str, place: int) -> None:
    relevance = embedded.score(query, PASSAGES).relevance
    assert max(range(len(PASSAGES)), key=lambda i: relevance[i]) == place


def test_evidence_is_less_where_the_answer_is_missing(embedded: Scorer) -> None:
    query = "How old must one be to vote in Norway?"
    assert embedded.score(query, PASSAGES).evidence > embedded.score(query, PASSAGES[2:]).evidence + 0.1


def test_a_long_list_is_scored_whole_and_cut_passages_are_named(embedded: Scorer) -> None:
    scored = embedded.score("Is it cold in Norway?", [*PASSAGES, "word " * 400, *(["The tide turns twice a day."] * 14)])
    assert len(scored.relevance) == 20
    assert all(0 <= value <= 1 for value in scored.relevance)
    assert set(scored.truncated) <= {5}
