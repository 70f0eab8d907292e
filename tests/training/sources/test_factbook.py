"""The factbook maker on two small self-made countries."""

import json
from pathlib import Path
from random import Random

import pytest
from slipway_shared.grounding import fence
from slipway_training.sources.factbook import country_files, factbook_pages, is_held_out, read_country, short_answer, short_path


def country(name: str, coast: str) -> dict[str, object]:
    def text(value: str) -> dict[str, str]:
        return {"text": value}

    return {
        "Introduction": {"Background": text("<p>Long ago.</p>")},
        "Geography": {
            "Coastline": text(coast),
            "Climate": text("mild; <em>wet</em> in winter"),
            "Elevation": {"highest point": text("Mount Test 4,321 m"), "lowest point": text("Sea 0 m")},
        },
        "Environment": {"Climate": text("mild; <em>wet</em> in winter")},
        "Government": {
            "Country name": {"conventional short form": text(name)},
            "Capital": {"name": text("Testville"), "note": text("<strong>note:</strong> not asked for")},
        },
        "Economy": {"Public debt": {"Public debt 2016": text("53.2% of GDP (2016 est.)")}},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for code in ("aa", "bb", "cc", "dd"):
        (tmp_path / f"europe__{code}.json").write_text(json.dumps(country(f"Land {code}", f"{len(code)}00 km")), encoding="utf-8")
    (tmp_path / "meta__x.json").write_text("{}", encoding="utf-8")
    return tmp_path


def test_fields_are_plain_and_come_once(folder: Path) -> None:
    fields = {f.path: f for f in read_country(folder / "europe__aa.json")}
    assert fields[("Climate",)].category == "Geography"
    assert fields[("Climate",)].value == "mild; wet in winter"
    assert fields[("Elevation", "highest point")].value == "Mount Test 4,321 m"
    assert fields[("Public debt", "Public debt 2016")].label == "Public debt 2016"
    assert not [p for p in fields if "note" in p]


def test_questions_name_the_country_and_answers_stand_in_the_passage(folder: Path) -> None:
    pages = [*factbook_pages(Random(1), folder, False), *factbook_pages(Random(1), folder, True)]
    asks = [(p, a) for page in pages for p in page.passages for a in p.asks]
    assert len(asks) > 20
    assert all("Land " in a.question and fence(a.answer) in fence(p.text) for p, a in asks)
    assert "<" not in "".join(p.text for p, _ in asks)


def test_slices_are_disjoint_and_whole(folder: Path) -> None:
    parts = [country_files(folder, held) for held in (True, False)]
    assert sorted(p.name for part in parts for p in part) == [f"europe__{c}.json" for c in ("aa", "bb", "cc", "dd")]
    assert is_held_out("europe__aa.json") == is_held_out("europe__aa.json")


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("536 km", "536 km"),
        ("26.8 deaths/1,000 live births (2025 est.)", "26.8 deaths/1,000 live births"),
        ("arable land: 11.4% (2023 est.)", "11.4%"),
        ("one two three four five six seven eight; " + "more words " * 6, "one two three four five six seven eight"),
        ("word " * 30, ""),
    ],
)
def test_answers_are_short(value: str, answer: str) -> None:
    assert short_answer(value) == answer


def test_a_repeated_head_is_dropped() -> None:
    assert short_path(("Exports", "Exports 2023")) == ("Exports 2023",)
    assert short_path(("Area", "total")) == ("Area", "total")
