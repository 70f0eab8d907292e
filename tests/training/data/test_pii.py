import json
import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from slipway_training.data.pii import KINDS, scrub


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Write to jane.o'neil+news@mail.example.co.uk today.", "Write to [EMAIL-1] today."),
        ("a@x.org, b@x.org and again a@x.org", "[EMAIL-1], [EMAIL-2] and again [EMAIL-1]"),
        ("card 4111 1111 1111 1111 or 4111111111111111", "card [CARD-1] or [CARD-1]"),
        ("pay to DE89 3704 0044 0532 0130 00 now", "pay to [IBAN-1] now"),
        ("the host 8.8.8.8 answered", "the host [IP-1] answered"),
        ("at 2001:4860:4860::8888 it is", "at [IP-1] it is"),
        ("his number is 123-45-6789.", "his number is [SSN-1]."),
        ("call +44 20 7946 0958 soon", "call [PHONE-1] soon"),
        ("(212) 555-0187 or 212-555-0187", "[PHONE-1] or [PHONE-1]"),
        ("Tel: 030 1234567", "Tel: [PHONE-1]"),
        ("They're not answering at 785 8949", "They're not answering at [PHONE-1]"),
        ("(88) 684-3342, ask for Ann", "[PHONE-1], ask for Ann"),
        ("001-748-088-2851x818 or 96 228011 office", "[PHONE-1] or [PHONE-2] office"),
        ("key AKIAIOSFODNN7EXAMPLE leaked", "key [SECRET-1] leaked"),
        ("token ghp_" + "a1B2" * 9, "token [SECRET-1]"),
    ],
)
def test_a_value_becomes_a_placeholder(text: str, clean: str) -> None:
    assert scrub(text)[0] == clean


@pytest.mark.parametrize(
    "text",
    [
        "In 1984, 3,141,592 people lived on 12.5 km of coast between 1990-2000.",
        "See section 4.11.2.1 and version 10.0.0.1, ISBN 978-3-16-148410-0.",
        "The order 4111 1111 1111 1112 fails the check digit.",
        "pi is 3.14159265358979323846 and e is 2.718281828459045235",
        "The list 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 passes it and is no card.",
        "meet @home at 10:30:00, ratio 3:4:5, cell 12",
        "The call came at 12 noon in 2004.",
        "127.0.0.1 and 192.168.1.10 are in every book on networks.",
        "000-12-3456 and 912-34-5678 were never issued.",
        "The Lancet 12 (1984) 123-145, and (2004) 55-67 of the same.",
        "f(x) = 12 - 34 + 5678; see pages 123-456.",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    clean, found = scrub(text)
    assert clean == text and not found


def test_a_hint_holds_wherever_its_pattern_finds_something() -> None:
    """Random joins of what the patterns are made of: the quick look may say yes too often, never no."""
    rng = Random(5)
    parts = [
        *"0123456789+-.:()@ /x",
        "12",
        "2001:",
        "::",
        "555",
        "AKIA",
        "ghp_",
        "sk-",
        "xoxb-",
        "eyJ",
        "hf_",
        "a1B2" * 9,
        "DE89",
        " office",
        " CELL",
        "Tel: ",
        "call ",
        "a@b.org",
        "-12-",
        "00",
    ]
    found = Counter[str]()
    for _ in range(30000):
        text = "".join(rng.choices(rng.sample(parts, 6), k=rng.randrange(4, 16)))
        for kind in KINDS:
            if kind.pattern.search(text):
                found[kind.name] += 1
                assert kind.hint(text), (kind.name, text)
    assert min(found[kind] for kind in ("EMAIL", "SECRET", "CARD", "IP", "PHONE")) > 20, found


def test_what_was_replaced_is_counted_by_kind() -> None:
    _, found = scrub("a@x.org b@x.org +1 212 555 0187 8.8.4.4")
    assert dict(found) == {"email": 2, "phone": 1, "ip": 1}


def test_scrubbing_twice_changes_nothing_more() -> None:
    once, _ = scrub("a@x.org called 212-555-0187 from 8.8.4.4")
    assert scrub(once) == (once, {})


@pytest.mark.parametrize(
    "text", ["1" * 50_000, "a." * 30_000 + "@", "1-" * 30_000, "a:" * 30_000, "+1 " * 20_000, "AB12 " * 10_000, "eyJ" * 10_000]
)
def test_no_text_keeps_a_pattern_busy_past_the_suites_timeout(text: str) -> None:
    clean, _ = scrub(text)
    assert len(clean) <= len(text)


@pytest.mark.skipif(not os.environ.get("SLIPWAY_DATA_DIR"), reason="needs the pii_presidio folder that SLIPWAY_DATA_DIR holds")
def test_recall_and_precision_on_presidios_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    """Every value of the set, all templates: nothing here is trained, so nothing needs to be kept apart. `-s` shows the figures."""
    rows = json.loads((Path(os.environ["SLIPWAY_DATA_DIR"]) / "pii_presidio" / "generated_large.json").read_text(encoding="utf-8"))
    kinds = {
        "EMAIL_ADDRESS": "email",
        "CREDIT_CARD": "card",
        "PHONE_NUMBER": "phone",
        "IBAN_CODE": "iban",
        "IP_ADDRESS": "ip",
        "US_SSN": "ssn",
    }
    there, gone, found, extra = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        clean, replaced = scrub(row["full_text"])
        here = [(kinds[s["entity_type"]], s["entity_value"]) for s in row["spans"] if s["entity_type"] in kinds]
        there.update(kind for kind, _ in here)
        gone.update(kind for kind, value in here if value not in clean)
        found.update(replaced)
        extra.update(replaced - Counter(kind for kind, _ in here))
    recall = {kind: gone[kind] / there[kind] for kind in there}
    precision = {kind: 1 - extra[kind] / found[kind] for kind in found}
    with capsys.disabled():
        print(*(f"\n{k}: {there[k]} values, recall {recall[k]:.3f}, precision {precision[k]:.3f}" for k in sorted(there)))
    assert all(precision[kind] >= 0.95 for kind in found)
    assert all(recall[kind] >= (0.85 if kind in ("phone", "iban", "ip") else 0.99) for kind in there)
