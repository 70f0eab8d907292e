"""`.ort` files: the same numbers as the graph that they were made from, in bare onnxruntime, and served by the same engine."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from slipway_shared.manifest import ManifestError, load_verified
from slipway_training.errors import ExportError
from slipway_training.evaluation.pointers import PointerReader
from slipway_training.export.ort_file import export_ort

SHIPPED = Path(__file__).parents[3] / "models" / "slipway-reader" / "int8"
PASSAGES = ["Redis keeps the buckets.", "The edge listens on port 8080; the variable SLIPWAY_PORT moves it."]


@pytest.mark.parametrize("platform", ["arm", "amd64"])
def test_the_numbers_are_the_graphs_own(platform: str, tmp_path: Path) -> None:
    made = export_ort(SHIPPED, tmp_path / "ort", platform)  # pyright: ignore[reportArgumentType]
    manifest = load_verified(made).manifest
    assert manifest.flavor == f"int8-ort-{platform}"
    assert ("mobile" in manifest.device_classes) == (platform == "arm")
    rng = np.random.default_rng(3)
    ids = rng.integers(5, 12000, (3, 50))
    feeds = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": (np.arange(50) > 9).astype(np.int64)[None].repeat(3, 0),
    }
    first, second = (
        onnxruntime.InferenceSession(str(path)).run(["start", "end", "score", "none"], feeds)
        for path in (SHIPPED / "model.onnx", made / "model.ort")
    )
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=2e-2)
    question = "What port does the edge listen on?"
    assert PointerReader(made).answer(PASSAGES, question) == PointerReader(SHIPPED).answer(PASSAGES, question)


def test_a_folder_without_a_graph_and_an_altered_one_are_refused(tmp_path: Path) -> None:
    llama = SHIPPED.parents[1] / "slipway-reader-llama" / "int8"
    with pytest.raises(ExportError, match=r"no model\.onnx"):
        export_ort(llama, tmp_path / "a", "arm")
    with pytest.raises(ManifestError):
        export_ort(tmp_path, tmp_path / "b", "arm")


def test_a_four_bit_decoder_keeps_its_logits_and_its_weights_move_into_the_file(tmp_path: Path) -> None:
    flavor = SHIPPED.parents[1] / "slipway-reader-llama" / "int4-onnx"
    made = export_ort(flavor, tmp_path / "ort", "arm")
    assert not list(made.glob("*.data"))
    first, second = (_logits(path) for path in (flavor / "model.onnx", made / "model.ort"))
    assert first.shape == second.shape
    np.testing.assert_allclose(first, second, atol=1e-2)


def _logits(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session = onnxruntime.InferenceSession(str(path))
    given = [str(one.name) for one in session.get_inputs()]
    # Two key-value heads of 64, nothing in the past.
    feeds = {name: np.zeros((1, 2, 0, 64), dtype=np.float32) for name in given if name.startswith("past_key_values")}
    ids = np.arange(40, 52, dtype=np.int64)[None]
    return np.asarray(session.run(["logits"], {**feeds, "input_ids": ids, "attention_mask": np.ones_like(ids)})[0])
