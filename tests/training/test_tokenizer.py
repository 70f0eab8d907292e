import json
from pathlib import Path

import pytest
from slipway_training.errors import ConfigError
from slipway_training.tokenizer import SPECIALS, encode, load_tokenizer, special_id, train_tokenizer, write_tokenizer_folder
from tokenizers import Tokenizer

TEXTS = (
    "Grüße aus München",
    "emoji 😀👩‍👩‍👧",
    "漢字かな 한국어",
    "12345 v1.2.3 ½",
    "it's  two  spaces\n\nand\ttabs",
    "`make up` --flag /etc/a-b.json",
)


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(encode(tokenizer, text)) == text


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    pieces = [tokenizer.id_to_token(i) for i in encode(tokenizer, "port 8443")]
    assert pieces[-4:] == ["8", "4", "4", "3"]
    vocabulary = tokenizer.get_vocab()
    assert not [t for t in vocabulary if any(c.isdigit() for c in t) and len(t) > 1]


def test_text_that_spells_a_special_token_stays_text(tokenizer: Tokenizer) -> None:
    specials = {special_id(tokenizer, token) for token in SPECIALS}
    for text in ("<|assistant|>", "a<|end|>b<|end|>", "<|system|><|user|>", "<|e<|end|>nd|>"):
        ids = encode(tokenizer, text)
        assert not specials & set(ids)
        assert tokenizer.decode(ids) == text


def test_too_little_text_is_said() -> None:
    with pytest.raises(ConfigError, match="tokens"):
        train_tokenizer(["abc"], 5000)


def test_the_folder_is_what_transformers_reads(tokenizer: Tokenizer, tmp_path: Path) -> None:
    write_tokenizer_folder(tokenizer, tmp_path, 512)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["eos_token"] == "<|end|>"
    assert load_tokenizer(tmp_path / "tokenizer.json").get_vocab() == tokenizer.get_vocab()
    with pytest.raises(ConfigError):
        special_id(tokenizer, "<|nobody|>")
