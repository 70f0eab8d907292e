import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from slipway_training.config import load_typed
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.packed import open_packed
from slipway_training.data.prepare import Prepared, prepare
from slipway_training.errors import ConfigError, DataMissing
from slipway_training.vocab.lock import digest
from tokenizers import Tokenizer

Prose = Callable[..., str]


@pytest.fixture
def tokenizer_file(tmp_path: Path, tokenizer: Tokenizer) -> Path:
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def write_mixture(tmp_path: Path, write_prose: Prose, documents: int = 30, **how: Any) -> Path:
    for name, first in (("books", 0), ("web", 1000)):
        lines = [json.dumps({"text": write_prose(first + i, 6 + i % 20)}) for i in range(documents)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    sources = [
        {"name": n, "url": str(tmp_path / f"{n}.jsonl"), "licence": "CC0", "domain": n, "weight": w} for n, w in (("books", 2), ("web", 1))
    ]
    path = tmp_path / "mixture.yaml"
    path.write_text(yaml.safe_dump({"context": 64, "shard_rows": 50, "sources": sources, **how}), encoding="utf-8")
    return path


def run(path: Path, tokenizer_file: Path, folder: Path) -> Prepared:
    return prepare(load_typed(MixtureConfig, path, []), tokenizer_file, folder, Console(quiet=True))


def test_rows_hold_the_text_of_the_sources_by_weight(
    tmp_path: Path, write_prose: Prose, tokenizer_file: Path, tokenizer: Tokenizer
) -> None:
    made = run(write_mixture(tmp_path, write_prose), tokenizer_file, tmp_path / "out")
    packed = made.packed
    assert packed.context == 64 and packed.vocab_size == tokenizer.get_vocab_size()
    rows = {p.source: p.rows for p in packed.provenance}
    assert rows["books"] == made.shares["books"].available and abs(rows["web"] * 2 - rows["books"]) <= 1
    assert all(p.origin.licence == "CC0" and p.origin.files == 1 for p in packed.provenance)
    text = "\n".join(write_prose(i, 6 + i % 20) for i in range(30)) + "\n".join(write_prose(1000 + i, 6 + i % 20) for i in range(30))
    for i in (0, 7, len(packed) - 1):
        row, starts = packed.row(i), packed.row_starts(i)
        assert (np.flatnonzero(row[:-1] == 1) + 1).tolist()[: len(starts) - 1] == starts[1:].tolist()
        for piece in tokenizer.decode(row.tolist(), skip_special_tokens=False).split("<|end|>"):
            assert piece.strip() in text
    assert digest(tmp_path / "out" / "tokenizer.json") == packed.tokenizer_sha256, "the tokenizer lies beside its rows"
    counts = json.loads((tmp_path / "out" / "counts.json").read_text(encoding="utf-8"))["sources"]["books"]
    assert counts["steps"]["clean"]["kept"] == 30 and counts["rows"]["taken"] == rows["books"]
    assert str(tmp_path) not in (tmp_path / "out" / "index.json").read_text(encoding="utf-8")


def test_short_documents_come_in_earlier_stages(tmp_path: Path, write_prose: Prose, tokenizer_file: Path) -> None:
    packed = run(write_mixture(tmp_path, write_prose, stages=[500, 1200, 0]), tokenizer_file, tmp_path / "out").packed
    assert len(packed.lengths_by_stage) == 3 and all(packed.lengths_by_stage)
    starts = [np.mean([len(packed.row_starts(i)) for i in packed.stage_rows(k)]) for k in range(3)]
    assert starts[0] > starts[1] > starts[2]


def test_the_same_inputs_give_the_same_digest(tmp_path: Path, write_prose: Prose, tokenizer_file: Path) -> None:
    path = write_mixture(tmp_path, write_prose)
    first = run(path, tokenizer_file, tmp_path / "one").packed.digest
    assert run(path, tokenizer_file, tmp_path / "two").packed.digest == first
    assert run(path, tokenizer_file, tmp_path / "one").packed.digest == first
    assert run(write_mixture(tmp_path, write_prose, seed=5), tokenizer_file, tmp_path / "one").packed.digest != first


def test_a_tokenizer_without_the_end_token_is_refused(tmp_path: Path, write_prose: Prose, tokenizer_file: Path) -> None:
    with pytest.raises(ConfigError, match="no token '<eos>'"):
        run(write_mixture(tmp_path, write_prose, end_token="<eos>"), tokenizer_file, tmp_path / "out")
    with pytest.raises(DataMissing, match="no tokenizer"):
        run(write_mixture(tmp_path, write_prose), tmp_path / "none.json", tmp_path / "out")


@pytest.mark.slow
def test_killed_at_any_point_it_ends_with_the_same_rows(tmp_path: Path, write_prose: Prose, tokenizer_file: Path) -> None:
    """kill -9 as soon as some file of the next step appears, then the same command again: three times on the way through one run."""
    path = write_mixture(tmp_path, write_prose, documents=80)
    wanted = run(path, tokenizer_file, tmp_path / "whole").packed.digest
    out = tmp_path / "out"
    command = [sys.executable, "-m", "slipway_training", "data", "prepare", str(path), "--tokenizer", str(tokenizer_file), "--to", str(out)]
    for appears in ("work/clean/books.part", "work/kept/books.part", "work/tokens/web.ids"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
        while process.poll() is None and not (out / appears).exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said.decode()
        with pytest.raises(DataMissing):
            open_packed(out)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert open_packed(out, verify=True).digest == wanted


def test_a_signal_ends_it_with_the_code_for_try_again(tmp_path: Path, write_prose: Prose, tokenizer_file: Path) -> None:
    path = write_mixture(tmp_path, write_prose, documents=80)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "slipway_training", "data", "prepare", str(path), "--tokenizer", str(tokenizer_file), "--to", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    while process.poll() is None and not (out / "work" / "clean" / "web.part").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate()
    assert process.returncode == 75 and b"goes on from here" in said
    assert (out / "work" / "clean" / "books.json").is_file(), "the finished source is kept"
