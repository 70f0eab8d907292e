"""Texts for measuring, the same at every run: sentences of known words, passages of the usual length, documents, and questions about them."""

import numpy as np

WORDS = (
    "heron plover stork dune reed tide moon salt river bridge silver coin harbour lantern glacier orchard anvil meadow canyon violin turbine "
    "quarry saddle kettle marble copper willow falcon timber basalt cellar pepper anchor cradle hammer mirror pillow rocket thunder velvet"
).split()
SENTENCE, PASSAGE = 16, 90


def sentences(count: int, seed: int = 4) -> list[str]:
    """Of 16 words, about 20 tokens: what a query or a title is."""
    return _texts(count, SENTENCE, seed)


def passages(count: int, seed: int = 5) -> list[str]:
    """Of 90 words, about 115 tokens: what our splitter makes of prose."""
    return _texts(count, PASSAGE, seed)


def documents(count: int, seed: int = 6) -> list[str]:
    """Markdown with eight sections of one passage each."""
    return [
        "\n\n".join([f"# Document {i}", *(f"## Part {n}\n\n{text}." for n, text in enumerate(_texts(8, PASSAGE, seed + i)))])
        for i in range(count)
    ]


def question(seed: int = 7) -> str:
    return f"Where does the {' and the '.join(_texts(1, 3, seed)[0].split())} stand?"


def questions(count: int) -> list[str]:
    """Different ones."""
    return [question(seed) for seed in range(100, 100 + count)]


def _texts(count: int, words: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(WORDS[i] for i in rng.integers(0, len(WORDS), words)) for _ in range(count)]
