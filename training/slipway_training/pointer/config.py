"""The typed form of the pointer recipe's config.yaml.

It knows names, units, defaults and their ranges. It refuses to know how anything is done.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slipway_training.config import Share
from slipway_training.costs import Price
from slipway_training.prepare import INVENTED_PAGES


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Part):
    """Which encoder is tuned, and how much of its vocabulary stays."""

    base: Annotated[str, Field(description="a BERT folder (config.json, model.safetensors, vocab.txt); empty: the MiniLM package")] = ""
    fresh: Annotated[bool, Field(description="only the base's shape and word pieces: the weights are drawn anew (an ablation)")] = False
    vocab_size: Annotated[
        int, Field(ge=500, le=65535, description="word pieces that stay, the most frequent ones in the training text")
    ] = 12500
    max_tokens: Annotated[int, Field(ge=96, le=512, description="of question and window together")] = 256
    threshold: Annotated[
        float, Field(description='nats by which a span must be likelier than "not held"; the loss makes 0 the even point')
    ] = 0.0


class DataConfig(_Part):
    """The mixture (weights need not sum to one) and the form of a list: a question and `passages` passages, at most one of which answers."""

    mixture: dict[str, float]
    lists: Annotated[int, Field(ge=8, description="questions with their passages, all in all")]
    passages: Annotated[int, Field(ge=1, le=10)] = 4
    invented_pages: Annotated[
        int, Field(ge=1, description="pages of `lookup`, which is made here; a run that asks each of them often learns them by heart")
    ] = INVENTED_PAGES
    unanswerable: Annotated[Share, Field(description="share of lists whose answering passage is withheld")] = 0.25
    hard: Annotated[Share, Field(description="share of the other passages that are chosen for their likeness to the question")] = 0.5


class OptimConfig(_Part):
    """AdamW with warm-up and a straight line to zero (Bergsma et al. 2025, arXiv 2502.15938)."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    head_rate: Annotated[float, Field(gt=0, description="the learning rate of the new head")] = 5e-4
    warmup_share: Share = 0.06
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_lists: Annotated[int, Field(ge=1)] = 8
    shared_norm: Annotated[bool, Field(description="one softmax over all passages of a list; False: one a passage (an ablation)")] = True
    average: Annotated[
        float, Field(ge=0, lt=1, description="decay of the weights' moving average, which is what is kept; 0 keeps the last")
    ] = 0.995


class RunConfig(_Part):
    """Where and how long. `minutes` 0 means until the lists are used up."""

    seed: int = 17
    threads: Annotated[int, Field(ge=1)] = 1
    workers: Annotated[
        int, Field(ge=0, description="processes that make the batches; 0: this one, between the steps. A GPU needs some")
    ] = 0
    minutes: Annotated[float, Field(ge=0)] = 0
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 200
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    init_from: Annotated[
        str, Field(description="an earlier run, or an int8 flavor, whose weights and vocabulary this one starts from; empty: model.base")
    ] = ""
    price_per_hour: Price = 0.0
    out: str = "runs/pointer"
    data_dir: str = ""


class PointerConfig(_Part):
    """One recipe."""

    name: str = "slipway-reader"
    model: ModelConfig = ModelConfig()
    data: DataConfig
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()
