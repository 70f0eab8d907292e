"""A tokenizer.json as the vocabulary fields that llama.cpp reads, so that a GGUF gives the ids that its model was trained on.

It knows two forms: byte-level BPE ("gpt2") and sentencepiece's BPE with byte fallback ("llama", which llama.cpp calls SPM). It refuses vocabularies that llama.cpp
would split otherwise: likelihood pieces (its UGM form has no byte fallback), other normalisers and splits.
"""

import json
from typing import Any

import gguf
from tokenizers import Tokenizer

from slipway_training.errors import ExportError
from slipway_training.tokenizer import CHAT_TEMPLATE, END, PAD, SPECIALS, UNKNOWN, special_id

SPACE_TO_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
"""What our sentencepiece vocabularies do to text, and nothing else: no prefix, no other normalisation."""
UNSCORED = -1e6
"""Of pieces that no merge makes: below every merge, as in sentencepiece's own files."""


def write_vocabulary(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    """Tokens, types, merges or scores, special ids, the chat template. Raises ExportError for a vocabulary that llama.cpp would read otherwise."""
    whole: dict[str, Any] = json.loads(tokenizer.to_str())
    inner: dict[str, Any] = whole["model"]
    if inner["type"] != "BPE":
        raise ExportError(
            f"a {inner['type']} vocabulary has no GGUF form with byte fallback: train kind=byte_bpe or kind=sentencepiece_bpe"
        )
    if inner.get("byte_fallback"):
        _write_pieces(writer, whole, inner)
    elif _is_byte_level(whole.get("pre_tokenizer")):
        _write_byte_level(writer, inner)
    else:
        raise ExportError("the vocabulary is neither byte-level BPE nor sentencepiece's: llama.cpp would split text otherwise than it does")
    writer.add_eos_token_id(special_id(tokenizer, END))
    writer.add_eot_token_id(special_id(tokenizer, END))
    writer.add_pad_token_id(special_id(tokenizer, PAD))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _is_byte_level(split: dict[str, Any] | None) -> bool:
    return split is not None and split["type"] == "ByteLevel" and not split["add_prefix_space"] and split["use_regex"]


def _ordered(inner: dict[str, Any]) -> list[str]:
    ids: dict[str, int] = inner["vocab"]
    return sorted(ids, key=lambda token: ids[token])


def _write_byte_level(writer: gguf.GGUFWriter, inner: dict[str, Any]) -> None:
    tokens = _ordered(inner)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if token in SPECIALS else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in inner["merges"]])


def _write_pieces(writer: gguf.GGUFWriter, whole: dict[str, Any], inner: dict[str, Any]) -> None:
    """sentencepiece joins the pair whose piece has the best score; the order of the merges is the order of the scores."""
    if whole.get("normalizer") != SPACE_TO_MARK or whole.get("pre_tokenizer") is not None:
        raise ExportError(
            "the sentencepiece vocabulary has a prefix, a split or a normaliser of its own: only those of the tokenizer recipe can be exported"
        )
    tokens = _ordered(inner)
    scores: dict[str, float] = {}
    for left, right in inner["merges"]:
        scores.setdefault(left + right, -float(len(scores)))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([scores.get(token, UNSCORED) for token in tokens])
    writer.add_token_types([_kind(token) for token in tokens])
    writer.add_unk_token_id(inner["vocab"][UNKNOWN])
    writer.add_bos_token_id(inner["vocab"][END])  # llama.cpp takes 1 where there is none; texts never begin with it (add_bos_token)
    writer.add_add_space_prefix(False)


def _kind(token: str) -> gguf.TokenType:
    if token in SPECIALS:
        return gguf.TokenType.CONTROL
    if token == UNKNOWN:
        return gguf.TokenType.UNKNOWN
    if len(token) == 6 and token.startswith("<0x"):
        return gguf.TokenType.BYTE
    # Line feed and tab are symbols that no merge may cross.
    return gguf.TokenType.USER_DEFINED if token in ("\n", "\t") else gguf.TokenType.NORMAL
