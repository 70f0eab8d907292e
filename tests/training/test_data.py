"""Over the real data folder, where there is one: nothing held out is trained on, and every source makes rows."""

import os
from pathlib import Path
from random import Random

import pytest
from slipway_training.prepare import NEEDS_DATA, pages_of
from slipway_training.sources.factbook import country_files
from slipway_training.sources.provenance import SETTING, provenance
from slipway_training.sources.squad import read_squad

pytestmark = pytest.mark.skipif(not os.environ.get(SETTING), reason=f"{SETTING} is not set: the open data is read by path, never copied")


@pytest.fixture
def root() -> Path:
    return Path(os.environ[SETTING])


def test_validation_contexts_are_not_in_training(root: Path) -> None:
    train, validation = (read_squad(root / "squad_sample" / f"squad_{part}.jsonl") for part in ("train", "validation"))
    assert len(train) == 720
    assert not {r.context for r in train} & {r.context for r in validation}
    assert not {r.question for r in train} & {r.question for r in validation}


def test_about_a_tenth_of_the_countries_is_held_out(root: Path) -> None:
    held, rest = (country_files(root / "factbook", flag) for flag in (True, False))
    assert not set(held) & set(rest)
    assert 0.05 < len(held) / (len(held) + len(rest)) < 0.15


@pytest.mark.parametrize("name", sorted(NEEDS_DATA - {"factbook", "prose"}))
def test_sources_make_questions(root: Path, name: str) -> None:
    assert sum(len(p.asks) for page in pages_of(name, Random(1), root) for p in page.passages) > 1000


@pytest.mark.parametrize("name", ["factbook", "squad_sample", "openstax_text"])
def test_provenance_is_complete(root: Path, name: str) -> None:
    found = provenance(root, name, ("training",))
    assert found.licence
    assert found.commit
    assert found.attribution
