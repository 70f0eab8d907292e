from collections.abc import Iterator
from random import Random

import pytest
import sentencepiece
from slipway_training.data.invented import prose
from slipway_training.errors import ConfigError
from slipway_training.tokenizer import END, SPECIALS
from slipway_training.vocab.coverage import prove
from slipway_training.vocab.pieces import to_tokenizer, train_pieces

TEXTS = [prose(seed, 24) for seed in range(60)]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def model(request: pytest.FixtureRequest) -> bytes:
    return train_pieces(TEXTS, 460, request.param)


def unseen() -> Iterator[str]:
    rng = Random(5)
    yield from (prose(seed, 6) for seed in range(900, 930))
    yield from ("Zwölf Boxkämpfer jagen Eva.", "数字 1234567890 と文字", "tabs\tand\n\nlines  ", "x = {'a': [1, 2]}  # 🙂")
    yield from ("".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(30)).replace("\u2581", "") for _ in range(100))


def test_the_exported_tokenizer_gives_the_ids_of_sentencepiece(model: bytes) -> None:
    ours, theirs = to_tokenizer(model), sentencepiece.SentencePieceProcessor(model_proto=model)
    assert ours.get_vocab_size() == theirs.vocab_size() == 460
    for text in unseen():
        assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text), text


def test_every_byte_and_any_text_comes_back(model: bytes) -> None:
    proof = prove(to_tokenizer(model))
    assert proof.ok and proof.byte_tokens == 256 and proof.texts > 2000


def test_line_feeds_and_tabs_are_tokens_of_their_own(model: bytes) -> None:
    assert to_tokenizer(model).encode("a\n\n\tb", add_special_tokens=False).tokens == ["a", "\n", "\n", "\t", "b"]


def test_specials_have_the_ids_of_our_other_tokenizers(model: bytes) -> None:
    tokenizer = to_tokenizer(model)
    assert tokenizer.token_to_id(END) == 1
    assert len({tokenizer.token_to_id(s) for s in SPECIALS}) == len(SPECIALS)
    assert tokenizer.encode(END).ids == [1]


def test_the_same_text_gives_the_same_file() -> None:
    assert train_pieces(TEXTS, 460, "unigram") == train_pieces(TEXTS, 460, "unigram")


def test_too_little_text_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="smaller vocab_size"):
        train_pieces(["a few words only"], 4000, "bpe")


def test_a_model_that_cannot_write_every_byte_is_refused() -> None:
    import io

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=out, vocab_size=200, minloglevel=2)
    with pytest.raises(ConfigError, match="no byte fallback"):
        to_tokenizer(out.getvalue())
