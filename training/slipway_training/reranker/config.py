"""The typed form of the reranker recipe's config.yaml.

It knows names, units, defaults and their ranges. It refuses to know how anything is done.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slipway_training.config import Share


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Part):
    """Where the network starts, which of its layers stay, and how much it reads."""

    base: Annotated[
        str,
        Field(
            description="a BERT folder (config.json, model.safetensors, tokenizer.json), a run of this recipe, or a folder that the reranker serves "
            "(model.onnx, whose int8 weights are taken as they are); empty: the MiniLM package"
        ),
    ] = ""
    keep: Annotated[tuple[int, ...], Field(description="the layers of the base that stay, counted from 0; empty: all")] = ()
    max_tokens: Annotated[int, Field(ge=8, le=512, description="of query and passage together; the longer one loses the rest")] = 160
    window_tokens: Annotated[
        int,
        Field(
            ge=0,
            le=512,
            description="passages are first cut to the stretch that holds most of the query's words, as the service does; 0: not",
        ),
    ] = 0
    freeze_words: Annotated[bool, Field(description="keep the word embeddings as they are: half of the parameters, and little data")] = True
    freeze_layers: Annotated[
        int,
        Field(
            ge=0,
            description="so many of the lowest layers stay as they are: each saves two thirds of its time; for a base that was a reranker already",
        ),
    ] = 0


class DataConfig(_Part):
    """What is read. `lists` empty: self-made lists, for trying the recipe out."""

    lists: Annotated[str, Field(description="lists of python -m slipway_retriever.evaluate.mine; empty: made up here")] = ""
    negatives: Annotated[int, Field(ge=1, le=32, description="wrong passages beside the one that answers: what search ranked highest")] = 4
    repeat: Annotated[dict[str, int], Field(description="sets whose lists are seen more often")] = {}
    limit: Annotated[dict[str, int], Field(description="sets of which only so many lists are read")] = {}
    held_out: Annotated[
        bool, Field(description="leave a fifth of the queries unread, so that a blend can be fitted on what was not learnt")
    ] = False


class DistilConfig(_Part):
    """A larger scorer that is followed beside the judgements (Hofstaetter et al. 2020, margins; Hinton et al. 2015, softmax)."""

    teacher: Annotated[str, Field(description="as model.base; empty: nobody is followed")] = ""
    share: Annotated[Share, Field(description="of the target distribution that is the teacher's softmax")] = 0.3
    margin: Annotated[
        float, Field(ge=0, description="weight of the squared difference between the teacher's margins and ours, in logits")
    ] = 0.05


class OptimConfig(_Part):
    """AdamW with warm-up and a straight line to zero (Bergsma et al. 2025, arXiv 2502.15938)."""

    learning_rate: Annotated[float, Field(gt=0)] = 5e-5
    new_learning_rate: Annotated[float, Field(gt=0, description="of the biases between query and passage and of the head")] = 5e-3
    warmup_share: Share = 0.04
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    dropout: Share = 0.1
    step_tokens: Annotated[int, Field(ge=64, description="padded tokens of one step")] = 3072
    first_stage_share: Annotated[
        Share, Field(description="of the target that is the softmax of the searches' own scores, where nobody is followed")
    ] = 0.15


class RunConfig(_Part):
    """Where and how long: `epochs` passes or `minutes`, whichever ends first (0 minutes: no bound)."""

    seed: int = 17
    threads: Annotated[int, Field(ge=1)] = 1
    workers: Annotated[
        int, Field(ge=0, description="processes that make the batches; 0: this one, between the steps. A GPU needs some")
    ] = 0
    epochs: Annotated[float, Field(gt=0)] = 1
    minutes: Annotated[float, Field(ge=0)] = 0
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 200
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    out: str = "runs/reranker"


class RerankerConfig(_Part):
    """One recipe."""

    name: str = "slipway-reranker"
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    distil: DistilConfig = DistilConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()
