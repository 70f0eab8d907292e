"""Two Llama folders of a few thousand weights: one as it was drawn, one that was taught to repeat what stood two places before."""

from pathlib import Path

import pytest
import torch
from slipway_training.understand.opened import Opened, open_checkpoint
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

LETTERS = "abcdefgh"


def tiny(layers: int = 3) -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=10, hidden_size=32, num_hidden_layers=layers, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=64, tie_word_embeddings=False, bos_token_id=None, eos_token_id=9, pad_token_id=9,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def save(model: LlamaForCausalLM, folder: Path) -> Path:
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"?": 8, "</s>": 9, **{letter: i for i, letter in enumerate(LETTERS)}}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny(), tmp_path_factory.mktemp("random") / "hf")


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        ids = torch.randint(0, 8, (16, 2)).repeat(1, 6)
        labels = ids.clone()
        labels[:, :2] = -100
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return save(model, tmp_path_factory.mktemp("trained") / "hf")


@pytest.fixture(scope="session")
def trained(trained_folder: Path) -> Opened:
    return open_checkpoint(trained_folder)


@pytest.fixture(scope="session")
def untaught(random_folder: Path) -> Opened:
    return open_checkpoint(random_folder)
