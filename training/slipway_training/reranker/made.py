"""Self-made lists and a network of a few thousand weights, so that the recipe can be tried without data and downloads. It refuses to be of use."""

from random import Random
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from slipway_training.reranker.config import RerankerConfig
from slipway_training.reranker.lists import Listed
from slipway_training.reranker.model import Reranker

COLOURS = ("red", "green", "blue", "white", "black", "grey")
WORDS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "house", *COLOURS)
LISTS = 60
PASSAGES = 4


def network(config: RerankerConfig) -> Reranker:
    """Two layers of width 32, random."""
    shape: dict[str, Any] = {
        "hidden_size": 32, "num_hidden_layers": len(config.model.keep) or 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": len(WORDS),
        "max_position_embeddings": 512, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    return Reranker(shape)


def tokenizer(longest: int) -> Tokenizer:
    """Whole words."""
    pieces = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))  # noqa: S106 the name of a token
    pieces.pre_tokenizer = Whitespace()
    pieces.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [CLS]:1 $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    pieces.enable_truncation(longest)
    return pieces


def lists(seed: int) -> list[Listed]:
    """Which of four houses has the colour that is asked for."""
    rng, out = Random(seed), list[Listed]()
    for number in range(LISTS):
        colours = rng.sample(COLOURS, PASSAGES)
        place = rng.randrange(PASSAGES)
        documents = tuple(f"house {colour}" for colour in colours)
        out.append(Listed("houses", f"{colours[place]} house {number}", documents, (place,), (0.5,) * PASSAGES, PASSAGES))
    return out
