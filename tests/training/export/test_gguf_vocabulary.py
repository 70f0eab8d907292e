"""Vocabularies in GGUF files: llama.cpp gives the ids that the trainer gave, for text of any kind, and writes the same text back."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")
pytest.importorskip("llama_cpp")
pytest.importorskip("sentencepiece")

import llama_cpp
import sentencepiece
from slipway_training.config import ModelConfig
from slipway_training.data.invented import prose
from slipway_training.errors import ExportError
from slipway_training.export.gguf_file import write_gguf
from slipway_training.model import build_model
from slipway_training.tokenizer import CHAT_TEMPLATE, END, encode, train_tokenizer
from slipway_training.vocab.pieces import to_tokenizer, train_pieces
from tokenizers import Tokenizer

SIZE = 700
SHAPE = ModelConfig(vocab_size=SIZE, width=32, layers=1, heads=2, kv_heads=1, mlp_width=32, context_tokens=128, copy_start=0.5)
TEXTS = [prose(seed, 24) for seed in range(80)]


@pytest.fixture(scope="module")
def pieces() -> bytes:
    return train_pieces(TEXTS, SIZE, "bpe")


def opened(tokenizer: Tokenizer, path: Path) -> llama_cpp.Llama:
    write_gguf(build_model(SHAPE, 1, 0, 17), tokenizer, path, "test")
    return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


def unseen() -> Iterator[str]:
    rng = Random(11)
    yield from (prose(seed, 6) for seed in range(900, 960))
    yield from (
        "",
        " ",
        "  two  blanks ",
        "tabs\t\tand\n\n\nlines\r\n",
        "Grüße 😀 漢字",
        "12345 v1.2",
        "x = {'a': [1, 2]}  # 🙂",
        "it's ½",
        "<0x41> <unk>",
    )
    for _ in range(300):
        text = "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(128, 0x2FFF)))) for _ in range(40))
        yield text.replace("\u2581", "")


@pytest.mark.parametrize("kind", ["sentencepiece_bpe", "byte_bpe"])
def test_llama_cpp_gives_the_trainers_ids_and_the_text_back(kind: str, pieces: bytes, tmp_path: Path) -> None:
    tokenizer = to_tokenizer(pieces) if kind == "sentencepiece_bpe" else train_tokenizer(TEXTS, SIZE)
    llama = opened(tokenizer, tmp_path / "model.gguf")
    for text in unseen():
        ids = llama.tokenize(text.encode(), add_bos=False, special=False)
        assert ids == encode(tokenizer, text), text
        assert llama.detokenize(ids) == text.encode()


def test_three_readers_of_one_sentencepiece_model_agree(pieces: bytes, tmp_path: Path) -> None:
    """The file that was trained, the tokenizer.json and the GGUF; a saved and loaded tokenizer gives the same file."""
    tokenizer, theirs = to_tokenizer(pieces), sentencepiece.SentencePieceProcessor(model_proto=pieces)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    llama = opened(again, tmp_path / "model.gguf")
    for text in unseen():
        assert llama.tokenize(text.encode(), add_bos=False, special=False) == theirs.encode(text), text


def test_special_tokens_are_read_where_they_are_meant_and_text_where_not(pieces: bytes, tmp_path: Path) -> None:
    tokenizer = to_tokenizer(pieces)
    llama = opened(tokenizer, tmp_path / "model.gguf")
    said = "<|user|>hello<|end|><|assistant|>"
    assert llama.tokenize(said.encode(), add_bos=False, special=True) == tokenizer.encode(said, add_special_tokens=False).ids
    assert tokenizer.token_to_id(END) not in llama.tokenize(said.encode(), add_bos=False, special=False)
    assert llama.token_eos() == tokenizer.token_to_id(END)
    assert llama.metadata["tokenizer.chat_template"] == CHAT_TEMPLATE


def test_what_llama_cpp_would_read_otherwise_is_refused(pieces: bytes, tmp_path: Path) -> None:
    model = build_model(SHAPE, 1, 0, 17)
    with pytest.raises(ExportError, match="kind=sentencepiece_bpe"):
        write_gguf(model, to_tokenizer(train_pieces(TEXTS, 460, "unigram")), tmp_path / "unigram.gguf", "test")
    prefixed = json.loads(to_tokenizer(pieces).to_str())
    prefixed["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, prefixed["normalizer"]]}
    with pytest.raises(ExportError, match="prefix"):
        write_gguf(model, Tokenizer.from_str(json.dumps(prefixed)), tmp_path / "prefixed.gguf", "test")
