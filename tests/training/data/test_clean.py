from collections.abc import Callable
from pathlib import Path
from random import Random

import ftfy
from slipway_training.data.clean import Cleaner, language_share, plainly_english
from slipway_training.data.document import Document, Tally
from slipway_training.data.mixture import Cleaning, Quality, Source
from slipway_training.data.quality import refuse

Prose = Callable[..., str]
LIMITS = Quality()


def clean(text: str, cleaning: Cleaning | None = None, *, quality: bool = True) -> tuple[list[str], Tally]:
    source = Source(name="s", url="x", licence="MIT", quality=quality)
    tally = Tally()
    return [d.text for d in Cleaner(source, cleaning or Cleaning(), LIMITS).clean([Document(text, "s", 3)], tally)], tally


def test_good_prose_stays_as_it_is(write_prose: Prose) -> None:
    for seed in range(20):
        text = write_prose(seed)
        assert clean(text) == ([text], clean(text)[1])
        assert clean(text)[1].kept == 1


def test_broken_encoding_entities_and_line_ends_are_repaired(write_prose: Prose) -> None:
    broken = write_prose(1) + "\r\nThe caf\u00c3\u00a9 &amp; the \u201cold\u201d mill\u00e2\u20ac\u2122s wheel\x07."
    texts, tally = clean(broken)
    assert texts[0].endswith("\nThe café & the “old” mill’s wheel.")
    assert tally.changed["repaired"] == 1
    assert clean(broken, Cleaning(repair=False))[1].changed["repaired"] == 0


def test_other_languages_are_left_out(write_prose: Prose) -> None:
    german = "Der alte Müller ging jeden Morgen zum Fluss und sah nach, ob das Wasser gestiegen war, denn er traute dem Wetter nicht. " * 3
    assert clean(german, quality=False)[1].dropped == {"language": 1}
    assert clean(german, Cleaning(languages=("de",)), quality=False)[1].kept == 1
    assert clean(german, Cleaning(languages=()), quality=False)[1].kept == 1
    assert language_share("12345 67890", ("en",)) == 0.0
    assert {language_share(write_prose(2), ("en",)) for _ in range(5)} == {language_share(write_prose(2), ("en",))}


def test_lines_that_are_spared_are_those_in_which_ftfy_finds_nothing(write_prose: Prose) -> None:
    """Random lines of sound and unsound characters, with and without tags: what comes out is ftfy's own."""
    rng = Random(7)
    sound = [chr(c) for c in range(32, 127)] + list("‘’“”–—… \t")
    unsound = ["Ã©", "â€™", "&lt;", "&amp;", "\x07", "\r\n", "\u2028", "ﬁ", "e\u0301", "\x1b[1m", "<b>", "\x85", "ü"]
    plain = ftfy.TextFixerConfig(uncurl_quotes=False, explain=False)
    for _ in range(400):
        lines = ["".join(rng.choices(sound, k=30)) for _ in range(4)]
        lines += ["".join(rng.choice(sound if rng.random() < 0.8 else unsound) for _ in range(20)) for _ in range(rng.randrange(3))]
        rng.shuffle(lines)
        text = "x" + "\n".join(lines) + rng.choice(("", "\n")) + "."
        assert clean(text, Cleaning(languages=(), pii=False), quality=False)[0] == [ftfy.fix_text(text, plain).strip()]


def test_only_what_the_detector_takes_for_english_is_plainly_english(write_prose: Prose) -> None:
    english = (
        "The mill that stood by the river was older than the house, and they said that its wheel had been brought from the north with this stone. "
        * 2
    )
    german = (
        "Der alte Müller ging jeden Morgen zum Fluss und sah nach, ob das Wasser gestiegen war, denn er traute dem Wetter nicht mehr ganz. "
        * 2
    )
    assert plainly_english(english)
    assert language_share(english, ("de",)) < 0.01
    for other in (german, german + english, english + german, "the of and", ""):
        assert not plainly_english(other)


def test_personal_data_is_replaced_and_counted(write_prose: Prose) -> None:
    texts, tally = clean(write_prose(1) + " Write to someone@mail.example.org.")
    assert "[EMAIL-1]" in texts[0] and tally.changed["pii_email"] == 1
    assert "someone@" in clean(write_prose(1) + " Write to someone@mail.example.org.", Cleaning(pii=False))[0][0]


def sentences(text: str) -> list[str]:
    return text.replace("\n\n", " ").split(". ")


def offenders(p: Prose) -> dict[str, str]:
    """One text for each rule, which breaks that rule first."""
    return {
        "min_words": "too short to be of use",
        "max_words": " ".join(p(i) for i in range(600)),
        "mean_word_length": "a b c d e f g h i j " * 20,
        "symbols": p(1, 4) + " #" * 30,
        "alphabetic_words": p(1, 4) + " 12 34 56 78" * 30,
        "stop_words": " ".join(f"lantern{i} harbour{i}" for i in range(40)),
        "phrase": p(1) + " Lorem ipsum dolor sit amet.",
        "bullet_lines": "\n".join("- " + s for s in sentences(p(1, 16))),
        "ellipsis_lines": "\n".join(s + "..." for s in sentences(p(1, 40))),
        "duplicate_lines": p(1, 8) + "\nhome\nabout us" * 12,
        "duplicate_line_characters": "\n".join([*sentences(p(1, 24)), *[p(2, 1)] * 8]),
        "duplicate_paragraphs": "\n\n".join(
            [*(f"{s}\n{t}" for s, t in zip(sentences(p(1, 6)), sentences(p(2, 6)), strict=True)), *["home"] * 6]
        ),
        "top_2_gram": p(1, 4) + " harbour market" * 30,
        "duplicate_5_grams": p(1, 6).replace("\n\n", " ") + " " + p(1, 6).replace("\n\n", " "),
    }


def test_each_rule_refuses_what_it_names(write_prose: Prose) -> None:
    for rule, text in offenders(write_prose).items():
        assert refuse(text, LIMITS) == rule


def test_repeated_runs_of_words_are_counted_as_the_rules_say(write_prose: Prose) -> None:
    """Word by word, without the shortcuts: each n-gram that stood there before counts once, and the next begins after it."""

    def slowly(words: list[str], n: int) -> float:
        seen, characters, i = set[tuple[str, ...]](), 0, 0
        while i <= len(words) - n:
            gram = tuple(words[i : i + n])
            if gram in seen:
                characters += sum(map(len, gram))
                i += n
            else:
                seen.add(gram)
                i += 1
        return characters / sum(map(len, words))

    rng = Random(3)
    for _ in range(60):
        words = (
            rng.choices("lantern harbour market wheel stone river".split(), k=rng.randrange(8, 40))
            + write_prose(rng.randrange(50), 2).split()
        )
        wanted = next(
            (f"duplicate_{n}_grams" for n, limit in sorted(LIMITS.max_duplicate_ngrams.items()) if slowly(words, n) > limit), None
        )
        lax = LIMITS.model_copy(update={"min_words": 0, "max_top_ngram": {}, "min_stop_words": 0, "mean_word_length": (0.0, 99.0)})
        assert refuse(" ".join(words), lax) == wanted


def test_limits_and_language_are_settable(write_prose: Prose) -> None:
    assert refuse("the wheels of that engine", Quality(min_words=3)) is None
    text = " ".join(f"lantern{i} harbour{i}" for i in range(40))
    assert refuse(text, LIMITS, english=False) is None


def test_text_that_is_no_prose_skips_the_rules() -> None:
    assert clean("What is seven plus nine? The answer is 16.", quality=False)[1].kept == 1
    assert clean("What is seven plus nine? The answer is 16.")[1].dropped == {"min_words": 1}


def test_nothing_is_read_from_disk(tmp_path: Path) -> None:
    assert clean("   \n ")[1].dropped == {"empty": 1}
