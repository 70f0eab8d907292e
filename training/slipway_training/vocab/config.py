"""The typed form of the tokenizer recipe's config.yaml.

It knows names, units, defaults and ranges. It refuses to know how anything is done.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway_training.costs import Price
from slipway_training.data.mixture import MixtureConfig

Kind = Literal["byte_bpe", "sentencepiece_bpe", "sentencepiece_unigram"]


class TokenizerConfig(BaseModel):
    """The whole recipe. The mixture's weights say how much of each source the vocabulary sees."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "slipway-tokenizer"
    kind: Annotated[
        Kind, Field(description="byte_bpe is what llama.cpp calls gpt-2 and what every export knows; the others fall back to bytes")
    ] = "byte_bpe"
    vocab_size: Annotated[int, Field(ge=300, le=65536, description="tokens with specials; 8192 to 32768 for models of 3M to 300M")] = 8192
    characters: Annotated[int, Field(ge=10_000, description="text that the vocabulary is trained on, all sources together")] = 24_000_000
    held_out: Annotated[float, Field(gt=0, lt=0.5, description="share of documents kept apart to measure on")] = 0.05
    rare_below: Annotated[
        int, Field(ge=1, description="a token seen less often in training text is rare: its embedding is hardly trained")
    ] = 100
    context_tokens: Annotated[int, Field(ge=64, description="model_max_length of the exported folder")] = 1024
    workers: Annotated[int, Field(ge=1, description="processes that clean text")] = 1
    price_per_hour: Price = 0.0
    out: str = "runs/tokenizer"
    mixture: MixtureConfig
