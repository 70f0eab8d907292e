import numpy as np
import pytest
from slipway_training.data.invented import prose
from slipway_training.tokenizer import train_tokenizer
from slipway_training.vocab.audit import VocabularyAudit, audit
from tokenizers import Tokenizer

TRAINING = [prose(i) for i in range(40)]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return train_tokenizer(TRAINING, 500)


def audited(tokenizer: Tokenizer, measured: list[tuple[str, str]], rare_below: int = 5) -> VocabularyAudit:
    return audit(tokenizer, TRAINING, measured, rare_below, lambda _n: None)


def test_counts_are_those_of_the_training_text(trained: Tokenizer) -> None:
    found = audited(trained, [])
    wanted = np.bincount([i for t in TRAINING for i in trained.encode(t).ids], minlength=500)
    assert np.array_equal(found.counts, wanted)
    multi = [i for t, i in trained.get_vocab().items() if len(t) > 1 and not t.startswith("<|")]
    assert found.never == sum(wanted[i] == 0 for i in multi)
    assert found.rare == sum(wanted[i] < 5 for i in multi)


def test_a_domain_has_its_bytes_words_and_tokens(trained: Tokenizer) -> None:
    text = prose(900)
    found = audited(trained, [("tales", text), ("greek", "Ελλάδα και Ευρώπη"), ("tales", text)]).domains
    tales, greek = found["tales"], found["greek"]
    assert (tales.documents, tales.bytes, tales.words) == (2, 2 * len(text.encode()), 2 * len(text.split()))
    assert tales.tokens == 2 * len(trained.encode(text).ids)
    assert tales.as_dict()["bytes_per_token"] == pytest.approx(tales.bytes / tales.tokens, abs=1e-4)
    assert tales.single_bytes == 0 and greek.single_bytes > 20, "text in an unseen script is spelled in bytes"


def test_rare_tokens_are_counted_where_they_are_used(trained: Tokenizer) -> None:
    counts = audited(trained, []).counts
    rare = [t for t, i in trained.get_vocab().items() if len(t) > 2 and 0 <= counts[i] < 5 and t.isascii() and not t.startswith("<|")]
    assert rare, "a vocabulary of 500 over so little text has tokens that only served to build others"
    word = min(rare)
    ids = trained.encode(word).ids
    expected = sum(counts[i] < 5 and len(trained.id_to_token(i) or "") > 1 for i in ids)
    assert audited(trained, [("d", word)]).domains["d"].rare == expected > 0
