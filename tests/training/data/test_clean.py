from collections.abc import Callable
from pathlib import Path

from slipway_training.data.clean import Cleaner, language_share
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


def test_limits_and_language_are_settable(write_prose: Prose) -> None:
    assert refuse("the wheels of that engine", Quality(min_words=3)) is None
    text = " ".join(f"lantern{i} harbour{i}" for i in range(40))
    assert refuse(text, LIMITS, english=False) is None


def test_text_that_is_no_prose_skips_the_rules() -> None:
    assert clean("What is seven plus nine? The answer is 16.", quality=False)[1].kept == 1
    assert clean("What is seven plus nine? The answer is 16.")[1].dropped == {"min_words": 1}


def test_nothing_is_read_from_disk(tmp_path: Path) -> None:
    assert clean("   \n ")[1].dropped == {"empty": 1}
