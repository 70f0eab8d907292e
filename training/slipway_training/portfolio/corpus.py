"""Real text for short comparisons, as packed rows: textbooks where the data folder has them, else this repository's own guides and code.

It knows files, a tokenizer's size and where the text came from. It refuses to know what is trained on it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slipway_training.data.origin import Origin
from slipway_training.data.packed import INDEX, Packed, PackedRow, open_packed, write_packed
from slipway_training.errors import DataMissing
from slipway_training.pretrain.rows import file_sha256
from slipway_training.sources.provenance import data_dir, provenance
from slipway_training.tokenizer import END, encode, special_id, train_tokenizer

BOOKS = "openstax_text"
REPOSITORY = Path(__file__).resolve().parents[3]
OWN = ("docs/**/*.md", "training/**/*.py", "services/**/*.py", "shared/**/*.py", "deploy/**/*.py", "tests/**/*.py")
PIECE = 4000
"""Characters of a document: a chapter's page or two, so that rows of every book are mixed by the shuffle."""


def prepare(folder: Path, vocab_size: int, context: int, characters: int, data: str = "") -> Packed:
    """`characters` of text as rows of `context` tokens in `folder`, with a tokenizer of `vocab_size` trained on them; made once, then mapped.

    Raises DataMissing when there is no text and ConfigError when it does not hold that many tokens.
    """
    if (folder / INDEX).is_file():
        packed = open_packed(folder)
        if (packed.context, packed.vocab_size, packed.index.notes.get("characters")) == (context, vocab_size, str(characters)):
            return packed
    name, origin, texts = _texts(data)
    pieces = _pieces(texts, characters)
    if not pieces:
        raise DataMissing("there is no text to train on; set SLIPWAY_DATA_DIR, or run inside the repository")
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(pieces, vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    end = special_id(tokenizer, END)
    ids, starts = list[int](), list[int]()
    for piece in pieces:
        starts.append(len(ids))
        ids += [*encode(tokenizer, piece), end]
    return write_packed(
        folder, _rows(ids, np.asarray(starts), context, name), context=context, vocab_size=vocab_size,
        tokenizer_sha256=file_sha256(folder / "tokenizer.json"), sources={name: origin}, notes={"characters": str(characters)},
    )  # fmt: skip


def _rows(ids: list[int], starts: "np.ndarray[tuple[int], np.dtype[np.int64]]", context: int, name: str) -> Iterator[PackedRow]:
    for at in range(0, len(ids) - context, context):
        inside = starts[(starts > at) & (starts <= at + context)] - at
        yield PackedRow(ids[at : at + context + 1], (0, *map(int, inside)), name)


def _texts(data: str) -> tuple[str, Origin, list[str]]:
    try:
        root = data_dir(data)
    except DataMissing:
        if data:
            raise
        root = None
    if root is not None and (root / BOOKS).is_dir():
        note = provenance(root, BOOKS, ("training",))
        origin = Origin(
            url=f"{note.repository}@{note.commit}",
            licence=note.licence,
            attribution=note.attribution,
            domain="textbooks",
            sha256=note.files_sha256,
        )
        return BOOKS, origin, [p.read_text(encoding="utf-8") for p in sorted((root / BOOKS).glob("*.txt")) if p.name != "SOURCE.txt"]
    paths = sorted(path for pattern in OWN for path in REPOSITORY.glob(pattern))
    return "repository", Origin(url="this repository", licence="Apache-2.0", domain="code"), [p.read_text(encoding="utf-8") for p in paths]


def _pieces(texts: list[str], characters: int) -> list[str]:
    """`characters` in all, taken in turn from every text."""
    cut = [[text[at : at + PIECE] for at in range(0, len(text), PIECE)] for text in texts]
    longest = max((len(pieces) for pieces in cut), default=0)
    turns = [pieces[i] for i in range(longest) for pieces in cut if i < len(pieces)]
    return turns[: max(1, characters // PIECE)]
