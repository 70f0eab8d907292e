from slipway_training.data.invented import prose
from slipway_training.tokenizer import train_tokenizer
from slipway_training.vocab.coverage import prove
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers


def test_a_byte_level_vocabulary_writes_everything() -> None:
    proof = prove(train_tokenizer([prose(i) for i in range(20)], 400))
    assert proof.ok and not proof.failures and proof.byte_tokens == 256


def test_a_vocabulary_that_folds_case_is_found_out() -> None:
    tokenizer = train_tokenizer([prose(i) for i in range(20)], 400)
    tokenizer.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    proof = prove(tokenizer)
    assert not proof.ok and proof.failures[0] == "A"


def test_a_vocabulary_of_words_is_found_out() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    proof = prove(tokenizer)
    assert not proof.ok and proof.byte_tokens == 0 and len(proof.failures) == 20


def test_a_missing_byte_is_found_out() -> None:
    tokenizer = train_tokenizer([prose(i) for i in range(20)], 400)
    raw = tokenizer.to_str().replace('"Ģ":', '"gone":')
    assert prove(Tokenizer.from_str(raw)).byte_tokens == 255
