"""A development set of long documents, for comparing passage sizes: whole textbook sections, asked by the questions of the sets whose passages stand in them.

An answer counts as found where its section is, whatever passage of it was. It refuses to make questions of its own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from slipway_retriever.evaluate import beir, devsets
from slipway_retriever.evaluate.beir import Doc


def build(data: Path, sets: Sequence[Path], out: Path) -> Path | None:
    """Write the set of the sections that are asked about, and of the one after each; answers its folder, or None where no passage of `sets` is in a book.

    Glossary lines and the questions themselves are taken out of the sections: they would answer by their own words.
    """
    tests = [beir.read(folder) for folder in sets]
    asked = {text for test in tests for text in test.queries.values()}
    docs: list[Doc] = []
    place: dict[str, str] = {}
    for title, blocks in _sections(data):
        kept = [block for block in blocks if block not in asked and not devsets.GLOSSARY.match(block)]
        docs.append(Doc(f"d{len(docs)}", title, "\n\n".join(kept)))
        place |= dict.fromkeys(kept, docs[-1].id)
    queries: dict[str, str] = {}
    relevant: dict[str, dict[str, int]] = {}
    for test in tests:
        texts = {doc.id: doc.text for doc in test.corpus}
        for query, held in test.relevant.items():
            if found := {place[texts[doc]] for doc in held if texts[doc] in place}:
                queries[f"{test.name}-{query}"] = test.queries[query]
                relevant[f"{test.name}-{query}"] = dict.fromkeys(sorted(found), 1)
    if not queries:
        return None
    asked_about = {doc for held in relevant.values() for doc in held}
    kept_docs = [doc for number, doc in enumerate(docs) if doc.id in asked_about or docs[max(0, number - 1)].id in asked_about]
    beir.write(out, kept_docs, queries, relevant)
    return out


def _sections(data: Path) -> Iterator[tuple[str, list[str]]]:
    """Title and blocks of every section."""
    for book in devsets.sections(data):
        for raw in book:
            title, *blocks = [devsets.one_line(part) for part in raw.strip().split("\n\n")]
            yield title.lstrip("# "), [block for block in blocks if block]
