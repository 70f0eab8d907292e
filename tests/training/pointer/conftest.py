"""A BERT of a few thousand weights, random, and a run of the pointer recipe over self-made text."""

from pathlib import Path

import pytest
from slipway_training.pointer.config import PointerConfig
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer
from transformers import BertConfig, BertModel

WORDS = "the port of edge is gateway listens on variable moves platform what which where when answer passage question holds default file".split()


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with config.json, model.safetensors and vocab.txt."""
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(vocab_size=600, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS), "0123456789 abcdefghijklmnopqrstuvwxyz", *WORDS], trainer)
    ids = tokenizer.get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(ids, key=lambda piece: ids[piece])) + "\n", encoding="utf-8")
    shape = BertConfig(
        vocab_size=len(ids), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=128
    )
    BertModel(shape, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_pointer(tiny_bert: Path, tmp_path: Path) -> PointerConfig:
    """Two dozen lists of invented pages."""
    return PointerConfig.model_validate(
        {
            "model": {"base": str(tiny_bert), "vocab_size": 500, "max_tokens": 96},
            "data": {"mixture": {"fixture": 1.0}, "lists": 48},
            "optim": {"batch_lists": 4, "learning_rate": 1e-3},
            "run": {"out": str(tmp_path / "run"), "checkpoint_every_steps": 4},
        }
    )
