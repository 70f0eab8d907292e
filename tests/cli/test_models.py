"""Choosing a flavor and adding a GGUF of one's own."""

import json
import platform
from pathlib import Path

import pytest
from slipway_cli import cpu, models
from slipway_shared import manifest


def flavor(root: Path, name: str, engine: manifest.EngineName, model: str = models.DECODER) -> Path:
    folder = root / "models" / model / name
    folder.mkdir(parents=True)
    (folder / "weights.gguf").write_bytes(b"GGUF....")
    row = manifest.describe_file(folder, "weights.gguf")
    described = manifest.Manifest(model=model, flavor=name, engine=engine, entry="weights.gguf", files=(row,), context_tokens=512)
    manifest.write_manifest(folder, described)
    return folder


def test_the_engine_that_is_asked_for_decides_the_flavor(tmp_path: Path) -> None:
    flavor(tmp_path, "int8", "llamacpp")
    onnx = flavor(tmp_path, "int4-onnx", "onnx")
    choice = models.choose(tmp_path, {"SLIPWAY_ENGINE": "onnx"})
    assert (choice.setting, choice.name) == (str(onnx), "slipway-reader-llama:int4-onnx")
    assert models.choose(tmp_path, {"SLIPWAY_ENGINE": "echo"}).setting == "echo"
    pointer = flavor(tmp_path, "int8", "pointer", models.EMBEDDED)
    choice = models.choose(tmp_path, {})
    assert (choice.setting, choice.name) == (str(pointer), "slipway-reader:int8")


def test_a_folder_that_is_named_wins(tmp_path: Path) -> None:
    folder = flavor(tmp_path, "int8", "llamacpp")
    assert models.choose(tmp_path, {"SLIPWAY_MODEL": str(folder), "SLIPWAY_ENGINE": "echo"}).setting == str(folder)
    assert models.choose(tmp_path, {"SLIPWAY_MODEL": "models/slipway-reader-llama/int8"}).name == "slipway-reader-llama:int8"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SLIPWAY_MODEL": "nowhere"}, "slipway model add"),
        ({"SLIPWAY_ENGINE": "vlm"}, "none of pointer, llamacpp, onnx, echo"),
        ({"SLIPWAY_ENGINE": "onnx"}, "SLIPWAY_MODEL"),
    ],
)
def test_a_start_without_a_model_says_what_to_do(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    with pytest.raises(models.ModelError, match=message):
        models.choose(tmp_path, environ)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("SmolLM2-135M-Instruct-Q4_K_M.gguf", ("SmolLM2-135M-Instruct", "q4_k_m")),
        ("tiny.f16.gguf", ("tiny", "f16")),
        ("my model.gguf", ("my-model", "gguf")),
    ],
)
def test_an_added_gguf_is_named_after_its_file_and_verifies(tmp_path: Path, given: str, expected: tuple[str, str]) -> None:
    file = tmp_path / given
    file.write_bytes(b"GGUF" + bytes(100))
    folder = models.add(file, tmp_path / "models", context_tokens=2048)
    verified = manifest.load_verified(folder)
    assert (verified.manifest.model, verified.manifest.flavor) == expected
    assert (verified.manifest.kind, verified.manifest.engine, verified.manifest.context_tokens) == ("chat", "llamacpp", 2048)
    assert models.choose(tmp_path, {"SLIPWAY_MODEL": str(folder)}).setting == str(folder)


def test_a_file_that_is_no_gguf_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(models.ModelError, match="no GGUF"):
        models.add(file, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a-q8_0.gguf"
    file.write_bytes(b"GGUF")
    models.add(file, tmp_path / "models", name="a:q8")
    with pytest.raises(models.ModelError, match="exists already"):
        models.add(file, tmp_path / "models", name="a:q8")


def test_a_build_for_a_newer_processor_is_found_out(tmp_path: Path) -> None:
    (tmp_path / cpu.BUILD_NOTE).write_text(json.dumps({"machine": platform.machine(), "flags": ["avx2", "avx512f"]}))
    assert cpu.missing_flags(tmp_path, frozenset({"avx2"})) == ["avx512f"]
    assert cpu.missing_flags(tmp_path, frozenset({"avx2", "avx512f", "sse4_2"})) == []
    (tmp_path / cpu.BUILD_NOTE).write_text(json.dumps({"machine": "riscv128", "flags": []}))
    assert cpu.missing_flags(tmp_path, frozenset()) == ["riscv128"]


def test_a_library_without_a_note_is_trusted(tmp_path: Path) -> None:
    assert cpu.missing_flags(tmp_path, frozenset()) == []
