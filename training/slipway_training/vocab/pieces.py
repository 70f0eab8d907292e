"""Vocabularies trained by sentencepiece, and the same thing as a tokenizer.json that every Hugging Face loader reads.

It knows sentencepiece's trainer and its model file. It refuses to know byte-level BPE (`slipway_training.tokenizer`) and what text is trained on.

No normalisation and no dummy prefix, so that text comes back as it was. One character cannot: U+2581, which sentencepiece itself writes for a space.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from slipway_training.errors import ConfigError, StackMissing
from slipway_training.tokenizer import END, PAD, SPECIALS, UNKNOWN

try:
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "sentencepiece", "data") from error

model_pb2: Any = sentencepiece_model_pb2
"""The generated protocol, which has no types."""
SPACE = "\u2581"
WHITE = ["\n", "\t"]
"""Text is given to the trainer by lines, so it would never see these and spell them in bytes."""
LINE_BYTES = 4096
"""Longer lines are left out by the trainer, so they are cut before they reach it."""
BYTE, CONTROL, UNKNOWN_TYPE = 6, 3, 2


def train_pieces(texts: Iterable[str], vocab_size: int, kind: str) -> bytes:
    """The model file of a `bpe` or `unigram` vocabulary with byte fallback; raises ConfigError when the text holds too few pieces.

    One thread: the expectation steps of unigram add up per thread, and another number of threads would be another vocabulary.
    """
    out = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(texts), model_writer=out, model_type=kind, vocab_size=vocab_size, byte_fallback=True, split_digits=True,
            normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
            character_coverage=0.9999, max_sentence_length=2 * LINE_BYTES, pad_id=0, pad_piece=PAD, eos_id=1, eos_piece=END, bos_id=-1, unk_id=2,
            unk_piece=UNKNOWN, control_symbols=[s for s in SPECIALS if s not in (PAD, END)], user_defined_symbols=WHITE, num_threads=1, minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:
        raise ConfigError(
            f"sentencepiece cannot make {vocab_size} pieces of this text: more text or a smaller vocab_size ({error})"
        ) from error
    return out.getvalue()


def to_tokenizer(model: bytes) -> Tokenizer:
    """The model file as a tokenizer with the same ids; raises ConfigError for a model without byte fallback."""
    proto = model_pb2.ModelProto.FromString(model)
    if not proto.trainer_spec.byte_fallback:
        raise ConfigError("the sentencepiece model has no byte fallback: some text could not be written with it")
    pieces = [(p.piece, float(p.score)) for p in proto.pieces]
    if proto.trainer_spec.model_type == model_pb2.TrainerSpec.UNIGRAM:
        inner = models.Unigram(pieces, unk_id=proto.trainer_spec.unk_id, byte_fallback=True)
    else:
        vocab = {piece: i for i, (piece, _) in enumerate(pieces)}
        ranked = {p.piece: p.score for p in proto.pieces if p.type not in (BYTE, CONTROL, UNKNOWN_TYPE)}
        inner = models.BPE(vocab, list(_merges(vocab, ranked)), unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(inner)
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)  # type: ignore[assignment]
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])  # type: ignore[assignment]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (*SPECIALS, UNKNOWN)])
    return tokenizer


def _merges(vocab: dict[str, int], ranked: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Every pair of pieces that joins to a piece, in the order in which sentencepiece would join them: the better score first."""
    for piece in sorted(ranked, key=lambda p: -ranked[p]):
        pairs = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocab and piece[i:] in vocab]
        yield from sorted(pairs, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.splitlines(keepends=True):
            for start in range(0, len(line), LINE_BYTES // 4):
                yield line[start : start + LINE_BYTES // 4]
