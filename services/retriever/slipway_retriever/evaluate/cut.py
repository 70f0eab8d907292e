"""A test set whose documents are cut into passages as ingestion cuts them, for comparing passage sizes. It refuses to know searches and measures."""

from dataclasses import replace

from slipway_retriever import split
from slipway_retriever.evaluate.beir import Doc, TestSet
from slipway_retriever.parse.document import Document, Section

_PART = "\0"


def cut(test: TestSet, tokens: int, overlap: int) -> TestSet:
    """`test` with a passage of at most `tokens` estimated tokens as a document; judgements keep naming whole documents."""
    corpus = [
        Doc(f"{doc.id}{_PART}{number}", doc.title, piece.text)
        for doc in test.corpus
        for number, piece in enumerate(
            split.split(Document(doc.text, (Section(doc.title, 0, len(doc.text)),)), tokens=tokens, overlap=overlap)
        )
    ]
    return replace(test, name=f"{test.name} at {tokens}", corpus=tuple(corpus))


def whole(doc_id: str) -> str:
    """The document that a passage is of; a document that was not cut is itself."""
    return doc_id.split(_PART, 1)[0]
