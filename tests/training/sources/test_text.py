from slipway_training.sources.text import chunks, plain, sentences


def test_markup_goes_and_breaks_become_separators() -> None:
    assert plain("<p>A&nbsp;&amp; B<br><br>C <em>d</em></p>") == "A & B; C d"
    assert plain("  ; x ; ; y ") == "x; y"
    assert plain("5 < 6") == "5 < 6"


def test_sentences_end_where_english_ones_do() -> None:
    assert sentences("Dr. Smith came. He left at 5. Why?") == ["Dr. Smith came.", "He left at 5.", "Why?"]
    assert sentences("The U.S. Senate met. It voted.") == ["The U.S. Senate met.", "It voted."]
    assert sentences("") == []


def test_chunks_stay_within_their_bounds() -> None:
    pieces = [" ".join(["word"] * 20)] * 11 + [" ".join(["long"] * 300)]
    groups = chunks(pieces, low=40, high=100)
    assert all(40 <= sum(len(p.split()) for p in g) <= 100 for g in groups)
    assert chunks(["one short line"]) == [["one short line"]]
