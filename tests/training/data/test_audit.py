import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from slipway_training.cli import app
from slipway_training.config import load_typed
from slipway_training.data.audit import Audit, audit
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.packed import Packed
from slipway_training.data.pages import write_pages
from slipway_training.data.prepare import prepare
from slipway_training.errors import ConfigError, DataMissing
from slipway_training.recipes import FOLDER
from tokenizers import Tokenizer
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Packed:
    folder = tmp_path_factory.mktemp("audit")
    tokenizer.save(str(folder / "tokenizer.json"))
    lines = [
        "The doctor said that she would come. A woman of Kenya and an old man of Japan saw the church.",
        "He was the engineer, they said, and his daughter was blind.",
    ]
    (folder / "people.jsonl").write_text(
        "\n".join(json.dumps({"text": line + f" Number {i}."}) for i, line in enumerate(lines * 20)), encoding="utf-8"
    )
    mixture = load_typed(MixtureConfig, FOLDER / "tokenizer" / "mixture" / "tiny.yaml", ["context=32", "tokens=40000"])
    raw = mixture.model_dump()
    raw["sources"] = [
        *raw["sources"],
        {"name": "people", "url": str(folder / "people.jsonl"), "licence": "CC0", "domain": "people", "quality": False, "weight": 1},
    ]
    raw["dedup"]["near"] = False
    return prepare(MixtureConfig.model_validate(raw), folder / "tokenizer.json", folder / "rows", Console(quiet=True)).packed


@pytest.fixture(scope="module")
def found(rows: Packed) -> Audit:
    return audit(rows.folder, rows.folder.parent / "tokenizer.json", lambda _n: None, rare_below=30)


def test_tokens_and_rare_tokens_are_those_of_the_rows(rows: Packed, found: Audit) -> None:
    ids = rows.rows(range(len(rows)))[:, :-1]
    total = np.bincount(ids.reshape(-1), minlength=rows.vocab_size)
    assert found.tokens_rare == int(((total > 0) & (total < 30)).sum()) > 0
    assert found.tokens_never == int((total == 0).sum())
    assert sum(d.tokens for d in found.domains.values()) == ids.size
    domain = [p.origin.domain for p in rows.provenance].index("people")
    mine = ids[rows.row_sources() == domain].reshape(-1)
    assert found.domains["people"].rare == int((total[mine] < 30).sum())
    assert found.distinct_rows == len({r.tobytes() for r in ids}) < len(rows), "people repeat, to fill their weight"


def test_groups_are_counted_where_they_stand(found: Audit) -> None:
    people = found.domains["people"].slices
    assert people.per_million("region", "africa") > 5000 and people.per_million("disability", "disability") > 5000
    assert found.domains["tales"].slices.per_million("religion", "christian") == 0
    assert people.near["doctor"]["female"] > 0 and people.near["engineer"]["male"] > 0


def test_every_page_says_the_same(found: Audit, tmp_path: Path) -> None:
    names = {p.name for p in write_pages(found, tmp_path)}
    assert names == {"audit.json", "audit.md", "audit.html", "audit.svg"}
    raw = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    assert raw["digest"] == found.packed.digest and raw["domains"]["people"]["tokens"] == found.domains["people"].tokens
    markdown, page = ((tmp_path / f"audit.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    for shown in ("people", "CC0", "invented-tales", "Apache-2.0", f"{found.domains['people'].tokens:,}", "Occupations"):
        assert shown in markdown and shown in page
    assert "<svg" in page and "http" not in page.split("</svg>")[1]
    write_pages(found, tmp_path / "again")
    assert (tmp_path / "again" / "audit.md").read_text(encoding="utf-8") == markdown


def test_the_command_writes_the_report(rows: Packed, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "audit", str(rows.folder), "--tokenizer", str(rows.folder.parent), "--to", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "people" in result.output and (tmp_path / "audit.html").is_file()


def test_another_tokenizer_and_a_folder_without_counts_are_refused(rows: Packed, tmp_path: Path, tokenizer: Tokenizer) -> None:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer.json").write_text((tmp_path / "tokenizer.json").read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not the tokenizer"):
        audit(rows.folder, tmp_path, lambda _n: None)
    with pytest.raises(DataMissing):
        audit(tmp_path, tmp_path, lambda _n: None)
