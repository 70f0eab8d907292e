"""The embedded encoders' files come out byte for byte, and nothing else comes out."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from slipway_shared.encoding import borrowed

MODELS = Path(__file__).parents[3] / "models"
BORROWINGS = sorted((MODELS / "borrowed").glob("*.safetensors"))
READER = MODELS / "borrowed" / "slipway-reader-int8.safetensors"


def altered(to: Path, *, turned: str = "", **header: str) -> Path:
    """The reader's borrowing with another header, or with one byte of a tensor turned."""
    with safe_open(str(READER), framework="np") as parts:
        tensors = {name: np.array(parts.get_tensor(name)) for name in ("rest", "differences", "rows")}
        whole = {**(parts.metadata() or {}), **header}
    if turned:
        tensors[turned][len(tensors[turned]) // 2] ^= 1
    save_file(tensors, str(to), whole)
    return to


@pytest.mark.parametrize("borrowing", BORROWINGS, ids=lambda path: path.stem)
def test_the_file_is_the_one_that_the_model_s_digests_name(borrowing: Path, tmp_path: Path) -> None:
    recipe = borrowed.read_recipe(borrowing)
    assert borrowed.restore(borrowing, tmp_path)
    made = tmp_path / recipe.file
    assert hashlib.sha256(made.read_bytes()).hexdigest() == recipe.sha256
    named = [path for name in borrowed.DIGESTS if (path := (MODELS / recipe.file).parent / name).is_file()]
    assert named and all(recipe.sha256 in path.read_text() for path in named)
    assert not borrowed.restore(borrowing, tmp_path)
    assert list(made.parent.iterdir()) == [made]


def test_both_embedded_encoders_are_kept_so() -> None:
    assert [borrowed.read_recipe(path).file for path in BORROWINGS] == ["slipway-reader/int8/model.onnx", "slipway-reranker/model.onnx"]


def test_a_file_of_an_older_checkout_is_replaced_and_one_of_somebody_s_own_stays(tmp_path: Path) -> None:
    target = tmp_path / "slipway-reader" / "int8" / "model.onnx"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"trained here")
    assert not borrowed.restore(READER, tmp_path)
    assert target.read_bytes() == b"trained here"
    (target.parent / "manifest.json").write_text(f'{{"sha256": "{borrowed.read_recipe(READER).sha256}"}}')
    assert borrowed.restore(READER, tmp_path)
    assert target.stat().st_size > 16_000_000


@pytest.mark.parametrize("tensor", ["rest", "differences", "rows"])
def test_an_altered_borrowing_makes_nothing(tensor: str, tmp_path: Path) -> None:
    borrowing = altered(tmp_path / "altered.safetensors", turned=tensor)
    with pytest.raises(borrowed.BorrowError, match="altered"):
        borrowed.restore(borrowing, tmp_path / "models")
    assert not list((tmp_path / "models").rglob("*.*"))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"weights_sha256": "0" * 64}, "has other weights"),
        ({"package": "a_package_that_is_not_here"}, "is not installed; run make setup"),
        ({"tensor": "no.such.tensor"}, "cannot be read"),
        ({"file": "../outside/model.onnx"}, "no file that borrows"),
        ({"file": "a/../../model.onnx"}, "no file that borrows"),
        ({"weights": "model/pickled.bin"}, "no file that borrows"),
        ({"surplus": "1"}, "no file that borrows"),
    ],
)
def test_a_header_that_leads_elsewhere_is_refused(header: dict[str, str], message: str, tmp_path: Path) -> None:
    borrowing = altered(tmp_path / "other.safetensors", **header)
    with pytest.raises(borrowed.BorrowError, match=message):
        borrowed.restore(borrowing, tmp_path / "models")


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04pickled")
    with pytest.raises(borrowed.BorrowError, match="no file that borrows"):
        borrowed.restore(tmp_path / "x.safetensors", tmp_path)
