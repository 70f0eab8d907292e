"""What docs/training-data.md shows is read by the code as it stands there."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from slipway_training.config import load_typed
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.synth.config import SynthConfig
from slipway_training.recipes import FOLDER

PAGE = Path(__file__).parents[3] / "docs" / "training-data.md"


@pytest.mark.parametrize(("kind", "form"), [("mixture", MixtureConfig), ("synth", SynthConfig)])
def test_the_examples_are_valid(tmp_path: Path, kind: str, form: type[BaseModel]) -> None:
    found = re.search(rf"```yaml {kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    (tmp_path / "example.yaml").write_text(found.group(1), encoding="utf-8")
    load_typed(form, tmp_path / "example.yaml", [])


def test_the_shipped_mixtures_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_DATA_DIR", "/nowhere")
    names = set()
    for path in (FOLDER / "tokenizer" / "mixture").glob("*.yaml"):
        mixture = load_typed(MixtureConfig, path, [])
        assert all(s.licence and s.attribution for s in mixture.sources)
        names.add(mixture.name)
    assert {"open", "tiny"} <= names
