"""Our BERT graph against the reference implementation, its int8 form, its cache on disk; and any other BERT folder by setting."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from slipway_retriever.embed.model_folder import BGE_PREFIX, ModelFolder, locate
from slipway_retriever.embed.onnx_embedder import OnnxEmbedder
from slipway_retriever.embed.shape import ModelMissing
from slipway_retriever.settings import RetrieverSettings
from slipway_shared.encoding.session import SMALL_PASS
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, BertConfig, BertModel

TEXTS = [
    "The coast of Norway is 25148 km long.",
    "hello",
    "Query and passage are read together by one encoder, and one relevance score comes out of it.",
    "Ω naïve façade, 日本語 und Größenwahn!",
    "word " * 400,
]


def reference(folder: Path, rows: list[list[int]], pooling: str) -> NDArray[np.float32]:
    model = AutoModel.from_pretrained(folder).eval()
    out: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for row in rows:
            hidden = model(torch.tensor([row])).last_hidden_state[0]
            pooled = hidden[0] if pooling == "cls" else hidden.mean(0)
            out.append((pooled / pooled.norm()).numpy())
    return np.stack(out)


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return (a * b).sum(axis=1)


@pytest.fixture(scope="module")
def minilm() -> ModelFolder:
    return locate(RetrieverSettings())


def test_fp32_is_the_reference_and_int8_is_near_it(minilm: ModelFolder, model_cache: Path) -> None:
    fp32, int8 = (OnnxEmbedder(minilm, precision, model_cache, 1) for precision in ("fp32", "int8"))
    rows = fp32.tokenize(TEXTS)
    wanted = reference(minilm.path, rows, "mean")
    assert cosines(np.concatenate([fp32.embed([row]) for row in rows]), wanted).min() > 0.9999
    assert cosines(int8.embed(rows), wanted).min() > 0.975
    short = [place for place, row in enumerate(rows) if len(row) <= SMALL_PASS]
    assert len(short) >= 3
    assert cosines(np.concatenate([int8.embed([rows[place]]) for place in short]), wanted[short]).min() > 0.998


def test_both_engines_give_vectors_within_the_stated_cosine_so_a_store_may_move_between_them(
    minilm: ModelFolder, model_cache: Path
) -> None:
    """The digest of stored vectors does not name the engine (docs/decisions/0009). The service's own documentation is what is embedded."""
    pytest.importorskip("openvino", reason="only x86-64 Linux has this engine")
    pages = sorted((Path(__file__).parents[3] / "docs").glob("*.md"))
    texts = [text for page in pages for text in page.read_text(encoding="utf-8").split("\n\n") if 40 <= len(text.split()) <= 120][:48]
    assert len(texts) == 48
    ours, theirs = (OnnxEmbedder(minilm, "int8", model_cache, 1, engine) for engine in ("onnxruntime", "openvino"))
    assert ours.digest == theirs.digest
    rows = sorted(ours.tokenize(texts), key=len)
    parts = [rows[start : start + 8] for start in range(0, len(rows), 8)]
    found = [np.concatenate([embedder.embed(part) for part in parts]) for embedder in (ours, theirs)]
    assert cosines(*found).min() > 0.985


def test_padding_changes_nothing(minilm: ModelFolder, model_cache: Path) -> None:
    fp32 = OnnxEmbedder(minilm, "fp32", model_cache, 1)
    rows = fp32.tokenize(TEXTS)
    alone = np.concatenate([fp32.embed([row]) for row in rows])
    assert cosines(fp32.embed(rows), alone).min() > 0.99999


def test_long_texts_are_cut_and_vectors_have_length_one(minilm: ModelFolder, model_cache: Path) -> None:
    int8 = OnnxEmbedder(minilm, "int8", model_cache, 1)
    rows = int8.tokenize(TEXTS)
    assert max(map(len, rows)) == minilm.max_tokens == 256
    np.testing.assert_allclose(np.linalg.norm(int8.embed(rows), axis=1), 1, atol=1e-5)


def test_a_damaged_cache_is_made_anew_and_never_read(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "model", "mean")
    cache = tmp_path / "cache"
    OnnxEmbedder(folder, "int8", cache, 1, "onnxruntime")
    files = sorted(cache.glob("*.onnx"))
    assert len(files) == 2, "one graph for batches, one for single queries"
    good = [file.read_bytes() for file in files]
    for file in files:
        file.write_bytes(file.read_bytes()[:-100] + bytes(100))
    OnnxEmbedder(folder, "int8", cache, 1, "onnxruntime")
    assert [path.read_bytes() for path in sorted(cache.glob("*.onnx"))] == good
    assert [path.name for path in cache.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_another_bert_folder_gives_the_reference_too(tmp_path: Path, pooling: str) -> None:
    tiny_bert(tmp_path / "model", pooling)
    folder = locate(RetrieverSettings(embedder="folder", embedder_dir=tmp_path / "model"))
    embedder = OnnxEmbedder(folder, "fp32", tmp_path / "cache", 1)
    rows = embedder.tokenize(["one two three", "two"])
    got = np.concatenate([embedder.embed([row]) for row in rows])
    assert cosines(got, reference(tmp_path / "model", rows, pooling)).min() > 0.99999


def test_bge_small_reads_a_folder_and_puts_its_prefix_before_queries(tmp_path: Path) -> None:
    tiny_bert(tmp_path / "model", "cls")
    folder = locate(RetrieverSettings(embedder="bge-small", embedder_dir=tmp_path / "model"))
    assert (folder.name, folder.query_prefix, folder.pooling) == ("bge-small-en-v1.5", BGE_PREFIX, "cls")


def test_what_vectors_depend_on_changes_the_digest(tmp_path: Path) -> None:
    mean, cls = tiny_bert(tmp_path / "a", "mean"), tiny_bert(tmp_path / "b", "cls")
    shutil.copy(mean.weights_path, cls.weights_path)
    assert mean.digest() != cls.digest()


def test_a_model_that_is_missing_or_no_bert_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="SLIPWAY_RETRIEVER_EMBEDDER_DIR"):
        locate(RetrieverSettings(embedder="bge-small"))
    with pytest.raises(ModelMissing, match=r"holds no config\.json"):
        locate(RetrieverSettings(embedder="folder", embedder_dir=tmp_path))
    tiny_bert(tmp_path / "model", "mean")
    (tmp_path / "model" / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    with pytest.raises(ModelMissing, match="no BERT"):
        locate(RetrieverSettings(embedder="folder", embedder_dir=tmp_path / "model"))
    folder = tiny_bert(tmp_path / "broken", "mean")
    folder.weights_path.write_bytes(b"no weights")
    with pytest.raises(ModelMissing, match="safetensors"):
        OnnxEmbedder(folder, "fp32", tmp_path / "cache", 1)


def tiny_bert(path: Path, pooling: str) -> ModelFolder:
    """A BERT of random weights in sentence-transformers' layout."""
    torch.manual_seed(3)
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "one", "two", "three"]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(path)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "1_Pooling").mkdir(exist_ok=True)
    pooled = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    (path / "1_Pooling" / "config.json").write_text(json.dumps(pooled))
    return locate(RetrieverSettings(embedder="folder", embedder_dir=path))
