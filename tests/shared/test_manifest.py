import shutil
from pathlib import Path

import pytest
from slipway_shared import manifest
from slipway_shared.manifest import Manifest, ManifestError, describe_file, load_verified, write_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(1000))
    files = (describe_file(tmp_path, "model.gguf"),)
    write_manifest(tmp_path, Manifest(model="m", flavor="int8", engine="llamacpp", entry="model.gguf", files=files, context_tokens=512))
    return tmp_path


def test_an_untouched_folder_is_verified_and_named_by_its_digest(folder: Path) -> None:
    model = load_verified(folder)
    assert model.entry == folder / "model.gguf"
    assert model.manifest.id == "m:int8"
    assert model.digest.startswith("sha256:")
    assert len(model.digest) == 71


def test_one_changed_byte_is_refused_with_the_files_name(folder: Path) -> None:
    weights = folder / "model.gguf"
    data = bytearray(weights.read_bytes())
    data[500] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ManifestError, match=r"model\.gguf was altered"):
        load_verified(folder)


def test_a_missing_a_longer_and_an_unlisted_kind_of_file_are_refused(folder: Path) -> None:
    (folder / "model.gguf").write_bytes(b"GGUF" + bytes(1001))
    with pytest.raises(ManifestError, match="1005 bytes"):
        load_verified(folder)
    (folder / "model.gguf").unlink()
    with pytest.raises(ManifestError, match="missing"):
        load_verified(folder)


def test_a_pickle_is_never_listed(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"x")
    files = (describe_file(tmp_path, "weights.bin"),)
    write_manifest(tmp_path, Manifest(model="m", flavor="f", engine="onnx", entry=".", files=files, context_tokens=512))
    with pytest.raises(ManifestError, match="not of a kind"):
        load_verified(tmp_path)


def test_a_path_out_of_the_folder_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.json"
    outside.write_text("{}")
    link = folder / "link.json"
    link.symlink_to(outside)
    files = (describe_file(folder, "link.json"),)
    write_manifest(folder, Manifest(model="m", flavor="f", engine="onnx", entry="link.json", files=files, context_tokens=512))
    with pytest.raises(ManifestError, match="leaves its folder"):
        load_verified(folder)


def test_an_onnx_folder_may_hold_nothing_that_is_not_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"onnx")
    files = (describe_file(tmp_path, "model.onnx"),)
    write_manifest(tmp_path, Manifest(model="m", flavor="f", engine="onnx", entry=".", files=files, context_tokens=512))
    load_verified(tmp_path)
    (tmp_path / "model.onnx.data").write_bytes(b"smuggled")
    with pytest.raises(ManifestError, match=r"does not name: model\.onnx\.data"):
        load_verified(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1, "model": "../x"}',
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * (manifest.MAX_MANIFEST_BYTES + 1),
    ],
)
def test_a_broken_manifest_is_one_sentence(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(raw)
    with pytest.raises(ManifestError) as caught:
        load_verified(tmp_path)
    assert str(caught.value).count("\n") == 0


def test_flavors_are_found_two_levels_down(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(folder, root / "m" / "int8")
    shutil.copytree(folder, root / "too" / "deep" / "below")
    assert manifest.find_flavors(root) == [root / "m" / "int8"]
