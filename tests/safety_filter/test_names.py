"""People's names by model: what is found, what a policy does with it, in streams as in whole texts, and a file that cannot be used."""

import itertools
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from slipway_safety_filter import name_words, names
from slipway_safety_filter.check import Checker
from slipway_safety_filter.names import BLOCK_CHARS, Names, NamesError
from slipway_safety_filter.policy import DEFAULT_TABLE, Change, Policies, Policy, PolicyFile, RowChange
from slipway_safety_filter.stream import Window
from slipway_shared.contracts import CheckRequest

NAMED = [
    ("Please tell Maria Gonzalez that the meeting moved to Friday.", ["Maria Gonzalez"]),
    ("Yesterday Kwame Asante and Ingrid Halvorsen signed the contract in Lisbon.", ["Kwame Asante", "Ingrid Halvorsen"]),
    ("Name: Tomasz Wilczek\nCity: Gdansk", ["Tomasz Wilczek"]),
    ("can you ask jennifer miller to send the invoice?", ["jennifer miller"]),
    ("From: Amira Benali <a.benali@example.org>\nSubject: Lease", ["Amira Benali"]),
]
NOBODY = [
    "How do I install Postgres on Windows 11 in Berlin?",
    "What is the Pythagorean theorem?",
    "The European Union met in Brussels on Tuesday.",
    "Invoice 4711 is due on Monday, says the Ministry of Health.",
    "",
    "\n",
    "....",
]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Names:
    return Names(names.load(), tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def hiding() -> Policy:
    """Redacts names on both sides."""
    rows = {"pii.name": RowChange(input="redact", output="redact")}
    return Policies(DEFAULT_TABLE, PolicyFile(default=Change(categories=rows))).default


@pytest.mark.parametrize(("text", "named"), NAMED)
def test_names_are_found_where_they_stand(reader: Names, text: str, named: list[str]) -> None:
    found = reader.find(text)
    assert [text[s.start : s.end] for s in found] == named
    assert all(s.category == "pii.name" and s.rule == "name_model" and 0.5 <= s.score <= 1 for s in found)


@pytest.mark.parametrize("text", NOBODY)
def test_other_capitals_are_no_names(reader: Names, text: str) -> None:
    assert reader.find(text) == []


def test_who_is_named_in_full_is_known_again_far_away(reader: Names) -> None:
    text = "Milena Drozd painted harbours. " + "The boats leave before the sun is up and come back at noon. " * 60 + "Drozd never sold one."
    assert [text[s.start : s.end] for s in reader.find(text)] == ["Milena Drozd", "Drozd"]


@pytest.mark.parametrize("before", [0, BLOCK_CHARS - 20, BLOCK_CHARS - 12, BLOCK_CHARS + 240])
def test_a_name_on_the_border_of_two_blocks_is_found_once(reader: Names, before: int) -> None:
    text = f"{'so. ' * (before // 4)}Please tell Maria Gonzalez about it. {'so. ' * (BLOCK_CHARS // 4)}Then call Kwame Asante tomorrow."
    assert [text[s.start : s.end] for s in reader.find(text)] == ["Maria Gonzalez", "Kwame Asante"]


@pytest.mark.parametrize("text", ["\ud800 Jane", "e\u0301" * 300, "字" * 400, "a'b-c’d " * 200, "_" * 500, "\x1e\n\x1e", "ÀÉ'S-" * 90])
def test_strange_texts_are_read_too(reader: Names, text: str) -> None:
    places = name_words.spots(text)
    assert all(0 <= s.start < s.end <= len(text) for s in reader.find(text))
    assert len(name_words.shapes(text, places)) == len(places)


def test_the_best_path_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        chances = np.log(rng.dirichlet((1, 1, 1), size=5)).astype(np.float32)
        allowed = [
            path for path in np.ndindex(*(3,) * 5) if path[0] != 2 and all(not (a == 0 and b == 2) for a, b in itertools.pairwise(path))
        ]
        best = max(allowed, key=lambda path: sum(float(chances[i, tag]) for i, tag in enumerate(path)))
        assert tuple(names._path(chances)) == best  # pyright: ignore[reportPrivateUsage]


def test_a_policy_that_does_nothing_about_names_costs_nothing(reader: Names, default_policy: Policy, hiding: Policy) -> None:
    checker = Checker(b"k", names=reader)
    text = NAMED[0][0]
    assert checker.check(CheckRequest(text=text), default_policy).findings == []
    assert not checker.names_read(default_policy, "output") and checker.names_read(hiding, "output")
    assert not Checker(b"k").names_read(hiding, "output")
    shown = checker.check(CheckRequest(text=text), hiding)
    assert shown.verdict == "redact" and shown.text is not None and "Maria" not in shown.text
    assert list(shown.placeholders.values()) == ["Maria Gonzalez"]


def test_other_personal_data_beside_a_name_stays_what_it_is(reader: Names, strict_policy: Policy) -> None:
    text = "From: Amira Benali <amira.benali@example.org>, 12 Baker Street"
    found = Checker(b"k", names=reader).check(CheckRequest(text=text), strict_policy).findings
    assert [(f.category, text[f.start : f.end]) for f in found][:2] == [
        ("pii.name", "Amira Benali"), ("pii.email", "amira.benali@example.org"),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_shows_no_part_of_a_name(reader: Names, hiding: Policy, seed: int) -> None:
    checker, rng = Checker(b"k", names=reader), random.Random(seed)
    for text, named in NAMED:
        whole = f"Well. {text} And so it goes on, as it did before."
        pieces = [whole] if seed == 0 else list(whole) if seed == 1 else _cut(whole, rng)
        window = Window(lambda request: checker.check(request, hiding))
        shown = "".join([*(window.push(piece) for piece in pieces), window.finish()])
        assert not any(part in shown for name in named for part in name.split()), shown
        assert shown.endswith("And so it goes on, as it did before.")
        assert window.held_chars <= 256


def _cut(text: str, rng: random.Random) -> list[str]:
    places = sorted({0, len(text), *(rng.randrange(len(text)) for _ in range(9))})
    return [text[a:b] for a, b in itertools.pairwise(places)]


def test_the_setting_turns_it_on(start: Callable[..., httpx.Client], tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(json.dumps({"default": {"categories": {"pii.name": {"output": "redact"}}}}))
    text = NAMED[1][0]

    def told(**settings: Any) -> dict[str, Any]:
        client = start(policy_file=tmp_path / "policy.json", classifier="none", **settings)
        return client.post("/v1/check", json={"text": text, "side": "output"}).raise_for_status().json()

    assert told()["verdict"] == "allow"
    assert sorted(told(names="model")["placeholders"].values()) == ["Ingrid Halvorsen", "Kwame Asante"]


def test_a_file_that_is_not_what_was_shipped_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NamesError, match="is missing"):
        names.load(tmp_path / "names.safetensors")
    for name in ("names.safetensors", "names.sha256"):
        shutil.copy(names.SHIPPED.with_name(name), tmp_path)
    raw = bytearray((tmp_path / "names.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "names.safetensors").write_bytes(raw)
    with pytest.raises(NamesError, match="is not what its digest"):
        names.load(tmp_path / "names.safetensors")
    assert len(raw) <= 1 << 20
