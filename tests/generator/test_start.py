"""What keeps a process from starting, and how it says so: one sentence, and a code that is not 0."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slipway_generator import model
from slipway_generator.engines.llamacpp import library
from slipway_generator.settings import Settings


def copy(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def run(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLIPWAY_GENERATOR_MODEL": str(folder), **settings}
    command = [sys.executable, "-m", "slipway_generator", "--port", "0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_one_changed_byte_is_refused_before_the_parser_sees_it(tiny_model: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model, tmp_path / "altered")
    raw = bytearray((folder / "tiny.gguf").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "tiny.gguf").write_bytes(bytes(raw))
    done = run(folder)
    assert done.returncode == 4
    assert done.stderr.strip().splitlines() == [
        f"generator: the model is refused: {folder / 'tiny.gguf'} was altered: its SHA-256 is not the one in the manifest."
    ]


@pytest.mark.parametrize("what", ["missing file", "stray entry", "no manifest", "broken manifest", "cut file"])
def test_folders_that_are_not_as_written_are_refused(tiny_model: Path, tmp_path: Path, what: str) -> None:
    folder = copy(tiny_model, tmp_path / "folder")
    if what == "missing file":
        (folder / "tiny.gguf").unlink()
    elif what == "stray entry":
        written = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps({**written, "entry": "../tiny.gguf"}))
    elif what == "no manifest":
        (folder / "manifest.json").unlink()
    elif what == "broken manifest":
        (folder / "manifest.json").write_text("{")
    else:
        (folder / "tiny.gguf").write_bytes((folder / "tiny.gguf").read_bytes()[:-1])
    with pytest.raises(model.StartRefused, match="refused"):
        model.identify(Settings(model=str(folder)))


def test_a_verified_file_that_is_no_model_is_a_sentence_not_a_crash(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    from slipway_shared import manifest

    folder = tmp_path / "nonsense"
    folder.mkdir()
    (folder / "x.gguf").write_bytes(b"GGUF" + bytes(200))
    described = manifest.describe_file(folder, "x.gguf")
    written = manifest.Manifest(model="x", flavor="y", engine="llamacpp", entry="x.gguf", files=(described,), context_tokens=64)
    manifest.write_manifest(folder, written)
    done = run(folder)
    assert done.returncode == 3
    assert "llama.cpp cannot load x.gguf" in done.stderr


def test_a_longer_context_than_the_model_was_made_for_is_refused(tiny_model: Path) -> None:
    with pytest.raises(model.StartRefused, match="1024"):
        model.identify(Settings(model=str(tiny_model), context_tokens=2048))


def test_an_unknown_setting_is_named(tiny_model: Path) -> None:
    done = run(tiny_model, SLIPWAY_GENERATOR_THREDS="1")
    assert done.returncode == 2
    assert "SLIPWAY_GENERATOR_THREDS is not a setting (did you mean SLIPWAY_GENERATOR_THREADS?)" in done.stderr


def test_a_library_for_another_processor_is_refused_by_name() -> None:
    note = {"flags": ["avx2", "avx512f", "amx_tile"]}
    with pytest.raises(model.StartRefused, match="avx512f") as refused:
        library.check_processor(note, frozenset({"avx2", "amx_tile"}))
    assert "avx2," not in str(refused.value)
    library.check_processor(note, frozenset({"avx2", "avx512f", "amx_tile"}))
    library.check_processor(None, frozenset())
    library.check_processor(note, None)


@pytest.mark.parametrize(
    ("note", "flags", "repack"),
    [
        (None, frozenset({"avx2"}), True),
        (None, frozenset({"avx2", "amx_tile"}), False),
        ({"flags": ["avx2"]}, frozenset({"avx2", "amx_tile"}), True),
        ({"flags": ["avx2", "amx_tile"]}, frozenset({"avx2", "amx_tile"}), False),
        ({"flags": ["avx2", "amx_tile"], "repack": True}, frozenset({"avx2", "amx_tile"}), True),
        ({"flags": ["avx2", "amx_tile"], "repack": False}, frozenset({"avx2", "amx_tile"}), False),
        (None, None, True),
    ],
)
def test_amx_kernels_are_reached_only_where_they_were_tried(
    note: dict[str, Any] | None, flags: frozenset[str] | None, repack: bool
) -> None:
    assert library.may_repack(note, flags) is repack


def missing(_name: str) -> None:
    return None


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(model.StartRefused, match=r"slipway-generator\[llamacpp\]"):
        library.load_library({})
