from slipway_shared.grounding import passages_message
from slipway_training.layout import Layout
from slipway_training.rows import Bundle, Turn
from slipway_training.tokenizer import encode
from tokenizers import Tokenizer

BUNDLE = Bundle("test", ("The port is 80.", "The host is here."), (Turn("Which port?", " 80 [1]", 1), Turn("Who?", "none", 0)))


def test_a_turn_starts_where_the_passages_end(tokenizer: Tokenizer) -> None:
    row = Layout(tokenizer, 256, 256).row(BUNDLE)
    assert row is not None
    prefix = row.segments.count(0)
    assert row.positions[:prefix] == list(range(prefix))
    for segment in (1, 2):
        places = [p for p, s in zip(row.positions, row.segments, strict=True) if s == segment]
        assert places == list(range(prefix, prefix + len(places)))


def test_only_replies_are_targets_and_the_text_is_the_served_one(tokenizer: Tokenizer) -> None:
    row = Layout(tokenizer, 256, 256).row(BUNDLE)
    assert row is not None
    targets = [t for t, wanted in zip(row.tokens, row.target, strict=True) if wanted]
    assert tokenizer.decode(targets, skip_special_tokens=False) == " 80 [1]<|end|>none<|end|>"
    first = [t for t, s in zip(row.tokens, row.segments, strict=True) if s < 2]
    told = f"<|system|>{passages_message(BUNDLE.passages)}<|end|><|user|>Which port?<|end|><|assistant|> 80 [1]<|end|>"
    assert tokenizer.decode(first, skip_special_tokens=False) == told


def test_turns_that_do_not_fit_are_left_out(tokenizer: Tokenizer) -> None:
    size = len(encode(tokenizer, passages_message(BUNDLE.passages)))
    assert Layout(tokenizer, size + 3, 256).row(BUNDLE) is None
    long = Bundle("test", BUNDLE.passages, (Turn("word " * 300, "x", 0), BUNDLE.turns[0]))
    row = Layout(tokenizer, 256, 256).row(long)
    assert row is not None
    assert set(row.segments) == {0, 2}


def test_without_passages_there_is_no_system_message(tokenizer: Tokenizer) -> None:
    assert Layout(tokenizer, 64, 64).prefix(()) == []
