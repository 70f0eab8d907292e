"""The sentence-transformers backend: the reference's own vectors, ours beside them, prefixes, and folders that must not be loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from slipway_retriever.app import load_embedder
from slipway_retriever.embed.model_folder import folder_of, locate
from slipway_retriever.embed.shape import ModelMissing
from slipway_retriever.settings import RetrieverSettings

TEXTS = ["Where does the heron nest?", "The heron nests in the reed.", "a", "word " * 400, "Überraschung: コーヒー"]


def embedded(settings: RetrieverSettings) -> Any:
    embedder = load_embedder(settings)
    return embedder.embed(embedder.tokenize(TEXTS))


def test_its_vectors_are_the_references_and_ours_are_near(model_cache: Path) -> None:
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(folder_of(RetrieverSettings())), device="cpu").encode(TEXTS)
    settings = RetrieverSettings(cache_dir=model_cache)
    by_torch = embedded(settings.model_copy(update={"backend": "sentence-transformers"}))
    assert float((reference * by_torch).sum(1).min()) > 0.99999
    assert float((reference * embedded(settings)).sum(1).min()) > 0.97


def test_a_prefix_comes_from_the_folder_or_from_the_setting(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(folder_of(RetrieverSettings()), folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}), encoding="utf-8")
    own = RetrieverSettings(embedder="folder", embedder_dir=folder)
    assert locate(own).query_prefix == "query: "
    assert locate(own.model_copy(update={"query_prefix": "ask: "})).query_prefix == "ask: "
    assert load_embedder(own.model_copy(update={"backend": "sentence-transformers"})).query_prefix == "query: "
    assert locate(RetrieverSettings()).query_prefix == ""


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelMissing, match="no safetensors"):
        load_embedder(RetrieverSettings(embedder="folder", embedder_dir=tmp_path, backend="sentence-transformers"))


def test_vectors_have_length_one_and_do_not_depend_on_the_batch() -> None:
    embedder = load_embedder(RetrieverSettings(backend="sentence-transformers"))
    rows = embedder.tokenize(TEXTS)
    together, alone = embedder.embed(rows), np.concatenate([embedder.embed([row]) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
