"""The typed form of the pretrain recipe's config.yaml.

It knows names, units, defaults, their ranges, and which of them cannot stand together. It refuses to know how anything is done.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slipway_training.config import Share
from slipway_training.costs import Price


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelConfig(_Part):
    """Shape and start of a Hugging Face Llama decoder (RMSNorm, SwiGLU, rotary positions, grouped queries)."""

    vocab_size: Annotated[int, Field(ge=0, le=1 << 18, description="0: the vocabulary of the packed rows")] = 0
    width: Annotated[int, Field(ge=16, description="multiples of 256 keep the K-quants of GGUF possible")] = 256
    layers: Annotated[int, Field(ge=1)] = 6
    heads: Annotated[int, Field(ge=1)] = 8
    kv_heads: Annotated[int, Field(ge=1, description="fewer than heads: grouped-query attention (Ainslie et al. 2023)")] = 4
    mlp_width: Annotated[int, Field(ge=16)] = 768
    rope_theta: Annotated[float, Field(gt=0)] = 10000.0
    rope_ntk: Annotated[
        float, Field(ge=1, description="NTK-aware stretch: theta grows so that a context this many times longer keeps its resolution")
    ] = 1.0
    tied: Annotated[bool, Field(description="one matrix for input and output embedding")] = True
    init: Annotated[
        Literal["normal", "scaled", "mup"],
        Field(
            description="normal: init_std everywhere; scaled: what writes to the residual stream by 1/sqrt(2 layers); mup: scales with the width, see base_width"
        ),
    ] = "scaled"
    init_std: Annotated[float, Field(gt=0)] = 0.02
    base_width: Annotated[int, Field(ge=16, description="mup: the width at which learning rate and init_std were chosen")] = 256
    layer_drop: Annotated[Share, Field(description="stochastic depth: the last layer's chance to be passed over, the first one's is 0")] = (
        0.0
    )

    @model_validator(mode="after")
    def _fits(self) -> "ModelConfig":
        if self.width % self.heads or self.heads % self.kv_heads or (self.width // self.heads) % 2:
            raise ValueError("heads must divide width, kv_heads must divide heads, and the head width must be even")
        if self.init == "mup" and self.tied:
            raise ValueError("mup needs model.tied=false: input and output embedding scale differently with width")
        return self


class DataConfig(_Part):
    """What is read: packed rows (see `data prepare`), or text made on the spot for a tiny run."""

    packed: Annotated[str, Field(description="folder of packed rows")] = ""
    tokenizer: Annotated[str, Field(description="tokenizer.json that made them; empty: beside the packed rows")] = ""
    mixture: Annotated[str, Field(description="a mixture YAML: where `packed` holds no rows yet, `data prepare` makes them from it")] = ""
    invented: Annotated[int, Field(ge=0, description="instead of packed rows: this many documents of self-made text")] = 0
    context_tokens: Annotated[int, Field(ge=16, description="for rows that are made here; packed rows bring their own")] = 256
    held_out_rows: Annotated[int, Field(ge=1, description="rows that are never trained on, for the evaluation loss")] = 64
    reset_attention: Annotated[bool, Field(description="tokens look only at their own document, not at those packed before it")] = False
    verify: Annotated[bool, Field(description="hold every file of rows against its SHA-256 before the run: about a second a gigabyte")] = (
        True
    )
    curriculum: Annotated[bool, Field(description="stages of the packed rows one after another; false: all rows shuffled together")] = True
    weights: Annotated[str, Field(description="the Parquet file of `data weights`, for loss-aware sampling; empty: every row as often")] = (
        ""
    )


class OptimConfig(_Part):
    """The optimizer and its schedule."""

    optimizer: Annotated[Literal["adamw", "muon"], Field(description="muon: matrices by Muon (Jordan et al. 2024), the rest by AdamW")] = (
        "adamw"
    )
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    muon_learning_rate: Annotated[float, Field(gt=0, description="of the matrices, adjusted to AdamW's update size")] = 2e-3
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_share: Share = 0.02
    floor_share: Annotated[Share, Field(description="the rate at the end, as a share of the highest")] = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.95
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    label_smoothing: Share = 0.0
    batch_tokens: Annotated[int, Field(ge=16, description="tokens of one optimizer step over all processes")] = 8192
    micro_rows: Annotated[int, Field(ge=1, description="rows of one forward pass; what is missing to a batch is accumulated")] = 16
    ema: Annotated[
        float, Field(ge=0, lt=1, description="decay of the weights' moving average, which is what is kept at the end; 0: none")
    ] = 0.0
    spike: Annotated[
        float, Field(ge=0, description="a step whose gradient norm is above this many times the recent median is passed over; 0: never")
    ] = 10.0


class RunConfig(_Part):
    """Where, how long, and on what."""

    seed: int = 17
    threads: Annotated[int, Field(ge=1)] = 2
    tokens: Annotated[int, Field(ge=16, description="training tokens, all processes together")] = 10_000_000
    minutes: Annotated[
        float, Field(ge=0, description="the schedule follows the clock where that is further; 0: a run that repeats bit by bit")
    ] = 0
    precision: Annotated[
        Literal["auto", "bf16", "fp32"], Field(description="of products; auto: bf16 where the machine has instructions for it")
    ] = "auto"
    compile: Annotated[bool, Field(description="torch.compile: 5-20 % faster on a CPU after 45 s of warm-up")] = False
    gradient_checkpointing: Annotated[bool, Field(description="recompute activations: a third more work for a fraction of the memory")] = (
        False
    )
    sharding: Annotated[
        Literal["none", "zero2", "zero3"],
        Field(description="FSDP over the processes of torchrun: gradients and optimizer (zero2), weights too (zero3)"),
    ] = "none"
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 100
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    shard_mb: Annotated[int, Field(ge=1, description="largest safetensors file of a checkpoint")] = 2000
    eval_every_steps: Annotated[int, Field(ge=1)] = 100
    monitor_every_steps: Annotated[int, Field(ge=1, description="activation sizes and the gradient noise scale")] = 20
    upload_to: Annotated[str, Field(description="any fsspec address (s3://..., file://...): checkpoints are copied there meanwhile")] = ""
    planned_flops: Annotated[
        float, Field(ge=0, description="for the dry run: bf16 FLOP/s of all devices that the run is planned for; 0: this machine")
    ] = 0.0
    price_per_hour: Price = 0.0
    out: str = "runs/pretrain"
    data_dir: str = ""


class PretrainConfig(_Part):
    """The whole recipe."""

    name: str = "slipway-base"
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _stands_together(self) -> "PretrainConfig":
        if self.run.sharding != "none" and self.optim.optimizer == "muon":
            raise ValueError("muon needs whole matrices: use optim.optimizer=adamw with run.sharding")
        if self.run.sharding != "none" and self.run.compile:
            raise ValueError("run.compile with run.sharding is not supported here: choose one")
        if not self.data.packed and not self.data.invented:
            raise ValueError(
                "data.packed must name a folder of packed rows (`data prepare` makes one), or data.invented a number of documents"
            )
        return self
