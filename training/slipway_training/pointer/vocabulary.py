"""A BERT vocabulary cut to the word pieces that the training text uses most.

Half of a small encoder is its table of word pieces, and most rows of it are never met in one domain. A word whose own piece is gone is spelled by shorter
pieces, which stay: WordPiece (Schuster and Nakajima 2012) matches greedily. It knows pieces and counts. It refuses to know weights.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def kept(vocabulary: Sequence[str], texts: Iterable[str], size: int) -> list[int]:
    """The ids of `vocabulary` that stay, in ascending order: specials, single characters of ASCII, then the most frequent in `texts`, `size` in all."""
    tokenizer = wordpiece(vocabulary)
    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(tokenizer.encode(text, add_special_tokens=False).ids)
    must = [i for i, piece in enumerate(vocabulary) if piece in SPECIALS or (len(piece.removeprefix("##")) == 1 and piece.isascii())]
    chosen = dict.fromkeys(must)
    for i, _ in counts.most_common():
        if len(chosen) >= size:
            break
        chosen.setdefault(i)
    for i, piece in enumerate(vocabulary):  # BERT's own order is by frequency of a large corpus
        if len(chosen) >= size:
            break
        if not piece.startswith("[unused"):
            chosen.setdefault(i)
    return sorted(chosen)


def wordpiece(vocabulary: Sequence[str]) -> Tokenizer:
    """The uncased BERT tokenizer of `vocabulary`, for pairs: `[CLS] question [SEP] passage [SEP]`."""
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer
