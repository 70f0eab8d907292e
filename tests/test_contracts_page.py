"""docs/contracts.md names tests that exist, and a line for every contract."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "contracts.md").read_text()
CONTRACTS = 94


def test_every_contract_has_a_line_with_a_test_or_says_that_it_is_open() -> None:
    rows = {int(number): held for number, held in re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)}
    assert sorted(rows) == list(range(1, CONTRACTS + 1))
    assert all("::" in held or "*open*" in held or "`make " in held for held in rows.values())


def test_every_test_that_is_named_exists() -> None:
    missing: list[str] = []
    for file, name in re.findall(r"`([\w/]+)::(\w+)`", PAGE):
        path = ROOT / "tests" / f"{file}.py"
        if not path.exists() or not re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE):
            missing.append(f"{file}::{name}")
    assert missing == []
