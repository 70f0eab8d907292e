"""The benchmark's arithmetic, and one small run of it against the real process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slipway_generator.bench import cases, refusals, report
from slipway_generator.bench.measure import Round
from slipway_shared.manifest import load_verified


def test_ratios_are_above_one_where_ours_is_better() -> None:
    fast = Round(tokens=100, wall=1.0, cpu=0.5, first=(0.1, 0.3), gaps=(0.01, 0.02), valid=1.0, drafted=20, accepted=15)
    slow = Round(tokens=100, wall=2.0, cpu=1.0, first=(0.2, 0.6), gaps=(0.02, 0.04), valid=1.0)
    rows = report.summary({("short", 1, "ours"): [fast, fast, slow], ("short", 1, "peer"): [slow]}, "peer")
    assert rows[0]["figures"]["tokens_per_cpu_second"] == 200
    assert rows[0]["ratios"]["tokens_per_cpu_second"] == 2.0
    assert rows[0]["ratios"]["ttft_p50_seconds"] == 2.0  # 0.3 s against 0.6 s
    assert rows[1]["ratios"] == {}
    text = report.table(rows)
    assert "200.0 (2.00x)" in text
    assert "| 30 of 40 |" in text
    assert report.plot(rows).count("<rect") == 3


def test_quantiles_are_nearest_ranks() -> None:
    assert report.quantile([3, 1, 2], 0.5) == 2
    assert report.quantile([1.0] * 99 + [9.0], 0.99) == 9.0
    assert report.quantile([], 0.5) == 0.0


def test_every_peer_is_asked_the_same_and_rounds_differ() -> None:
    made = cases.all_cases((1, 2), 8, {"2": -100})
    assert len(made) == 12
    long = next(case for case in made if case.name == "long")
    assert long.body(1, 0) == long.body(1, 0) != long.body(2, 0)
    shared = next(case for case in made if case.name == "shared")
    first, second = (shared.body(1, stream)["prompt"] for stream in (0, 1))
    assert first[:600] == second[:600]
    assert first != second


def test_a_small_run_writes_table_json_and_plot(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    arguments = ["--model", str(tiny_model), "--rounds", "1", "--streams", "2", "--tokens", "4", "--cases", "short", "--out", str(tmp_path)]
    (row,) = _bench(*arguments)
    assert row["figures"]["tokens"] == 8
    assert row["figures"]["tokens_per_cpu_second"] > 0
    assert (tmp_path / "generator.svg").read_text().startswith("<svg")


def test_a_draft_model_is_measured_beside_none_and_its_right_tokens_are_counted(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    words = ["--model", str(tiny_model), "--draft", str(tiny_model), "--no-lookup", "--rounds", "1", "--streams", "1", "--tokens", "40"]
    rows = _bench(*words, "--cases", "short", "--out", str(tmp_path))
    with_draft, without = (row["figures"] for row in rows)
    assert [row["peer"] for row in rows] == ["slipway", "slipway-no-draft"]
    # A draft as large as the model soon rests because it does not pay.
    assert 0.9 * with_draft["drafted"] <= with_draft["accepted"] <= with_draft["drafted"]
    assert without["drafted"] == 0
    assert with_draft["tokens"] == without["tokens"] == 40
    assert set(rows[0]["ratios"]) >= {"tokens_per_cpu_second", "ttft_p50_seconds"}


def test_an_onnx_flavor_is_measured_with_batches_and_without(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime_genai", reason="onnxruntime-genai is not installed")
    folder = Path(__file__).parents[2] / "models" / "slipway-reader-llama" / "int4-onnx"
    words = ["--model", str(folder), "--without", "--rounds", "1", "--streams", "1", "2", "--tokens", "6", "--cases", "short"]
    rows = _bench(*words, "--out", str(tmp_path))
    assert [(row["peer"], row["streams"], row["figures"]["tokens"]) for row in rows] == [
        (peer, streams, 6 * streams) for streams in (1, 2) for peer in ("slipway", "slipway-plain")
    ]
    refused = subprocess.run(
        [sys.executable, "-m", "slipway_generator.bench", "--model", str(folder), "--draft", str(folder)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert "ONNX" in refused.stderr


def _bench(*words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "slipway_generator.bench", *words], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = Path(words[words.index("--out") + 1]) / "generator.json"
    return json.loads(written.read_text())["rows"]


def test_masks_are_measured_and_every_document_is_valid(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    written = tmp_path / "masks.json"
    command = [
        sys.executable,
        "-m",
        "slipway_generator.bench.masks",
        "--model",
        str(tiny_model),
        "--documents",
        "9",
        "--peer-documents",
        "3",
    ]
    done = subprocess.run([*command, "--json", str(written)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads(written.read_text())["per_token"]
    assert figures["ours"]["valid"] == figures["ours"]["documents"] == 9
    assert figures["llama.cpp GBNF"]["documents"] == 3
    assert "9/9" in done.stdout


def test_starts_are_measured_cold_and_warm(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama.cpp is not installed")
    written = tmp_path / "start.json"
    command = [sys.executable, "-m", "slipway_generator.bench.start", "--model", str(tiny_model), "--rounds", "1", "--json", str(written)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (kinds,) = json.loads(written.read_text()).values()
    for kind in ("cold", "warm"):
        assert 0 < kinds[kind]["ready_seconds"] < kinds[kind]["first_token_seconds"]


def test_the_time_to_ready_is_a_metric(tiny: Any) -> None:
    assert 0 < tiny.metric("slipway_start_seconds") < 120


def test_every_bad_input_of_the_benchmark_is_refused_and_the_engine_lives(tiny: Any) -> None:
    with tiny.client() as client:
        for name, (path, body) in refusals.bodies().items():
            model = body["model"] if name == "another model" else tiny.model
            response = client.post(path, json={**body, "model": model})
            assert 400 <= response.status_code < 500, (name, response.text)
            assert response.json()["error"]["message"], name
        assert client.get("/readyz").status_code == 200


def test_a_flavors_latency_goes_into_its_manifest_where_builds_show_it(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "models" / "slipway-reader-llama" / "int4", tmp_path / "int4")
    words = ["-m", "slipway_generator.bench.latency", "--model", str(tmp_path / "int4"), "--rounds", "2", "--write"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    written = load_verified(tmp_path / "int4").manifest.eval
    names = {name.partition("@")[0] for name in written}
    assert {"ttft_ms", "tpot_ms", "rss_mb"} <= names
    assert "f1" in names  # what was there stays
