"""Which documents a run through the API uploads."""

from slipway_retriever.evaluate.beir import Doc
from slipway_retriever.evaluate.rag import nearest

CORPUS = [Doc(f"d{number}", "", "text") for number in range(20)]


def test_what_answers_is_there_and_then_what_stands_nearest_to_it() -> None:
    assert [doc.id for doc in nearest(CORPUS, {"d5", "d15"}, 6)] == ["d4", "d5", "d6", "d14", "d15", "d16"]


def test_more_documents_than_there_are_is_all_of_them() -> None:
    assert nearest(CORPUS, {"d5"}, 50) == CORPUS
