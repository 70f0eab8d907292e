"""The four commands, each from a folder to a plot, values and a page; and one of the repository's own flavors through them."""

import json
from pathlib import Path

import pytest
from slipway_training.cli import app
from slipway_training.understand.opened import open_checkpoint
from typer.testing import CliRunner

runner = CliRunner()
SHIPPED = Path(__file__).parents[3] / "models" / "slipway-reader-llama" / "int8"


def run(*words: object) -> None:
    result = runner.invoke(app, ["understand", *map(str, words)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("command", "options", "figure"),
    [
        ("lens", ["--text", "a b c d e f"], "lens.svg"),
        ("ablate", ["--texts", "letters.txt", "--neurons", "1", "--plot", "png"], "ablate.png"),
        ("profile", ["--batch", "1", "--length", "8", "--steps", "1"], "profile.svg"),
        ("probe", ["--texts", "labels.jsonl", "--pool", "mean"], "probe.svg"),
    ],
)
def test_each_command_leaves_its_folder(
    command: str, options: list[str], figure: str, trained_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("letters.txt").write_text("a b c d\n\ne f g h\n", encoding="utf-8")
    rows = [{"text": f"{x} {y}", "label": x} for x in "ab" for y in "cdefgh"]
    Path("labels.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    run(command, trained_folder, *options)
    place = next(Path("runs/understand").glob(f"*/{command}"))
    assert (place / figure).stat().st_size > 2000
    assert json.loads((place / "figures.json").read_text(encoding="utf-8"))
    page = (place / "README.md").read_text(encoding="utf-8")
    assert f"]({figure})" in page
    assert page.count("|---") >= 1


def test_a_shipped_flavor_is_studied_as_it_is(tmp_path: Path) -> None:
    run("lens", SHIPPED, "--out", tmp_path, "--text", "<|user|>[1] The edge listens on port 8443.\nWhich port?<|end|><|assistant|> 8443")
    layers = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))["layers"]
    assert len(layers["rank"]) == 1 + open_checkpoint(SHIPPED).model.config.num_hidden_layers
    assert layers["rank"][-1] == 1
    assert layers["probability"][-1] > layers["probability"][0]


def test_an_altered_flavor_is_refused(tmp_path: Path) -> None:
    for path in SHIPPED.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() if path.suffix != ".gguf" else path.read_bytes()[:-1] + b"x")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    result = runner.invoke(app, ["understand", "lens", str(tmp_path)])
    assert result.exit_code == 2
    assert "error:" in result.output
