"""The typed forms of the tuning recipes: base model, rows, optimizer, run, and what each recipe adds.

It knows names, units, defaults and ranges. It refuses to know how anything is done.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slipway_training.costs import Price

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Targets = Literal["attention", "mlp", "all"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Base(_Part):
    """The model that is tuned: a Hugging Face Llama folder (`base`), or without one a random Llama of this shape with a tokenizer of its own."""

    base: Annotated[str, Field(description="a folder with config.json, safetensors and tokenizer files, such as runs/pretrain/hf")] = ""
    vocab_size: Annotated[int, Field(ge=300, le=65535)] = 512
    width: Annotated[int, Field(ge=32)] = 64
    layers: Annotated[int, Field(ge=1)] = 2
    context_tokens: Annotated[int, Field(ge=64, description="of the made model; a base keeps its own")] = 256


class Rows(_Part):
    """What is read: JSONL with `messages` (role, content), or for preferences `prompt`, `chosen`, `rejected`."""

    file: Annotated[str, Field(description="a JSONL file; a provenance.json beside it is carried on")] = ""
    licence: Annotated[str, Field(description="of the file, where no provenance.json stands beside it")] = ""
    made: Annotated[int, Field(ge=0, description="so many rows of self-made sums instead of a file")] = 0
    held_out: Annotated[Share, Field(description="share of rows kept for the held-out loss, drawn by the hash of a row")] = 0.1
    max_tokens: Annotated[int, Field(ge=16, description="longer rows are left out and counted, never cut")] = 256

    @model_validator(mode="after")
    def _one_source(self) -> "Rows":
        if bool(self.file) == bool(self.made):
            raise ValueError("state data.file (JSONL) or data.made (a number of self-made rows), one of them")
        return self


class Optim(_Part):
    """AdamW with warm-up and cosine."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup_share: Share = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    batch_rows: Annotated[int, Field(ge=1, description="rows (with packing: packed rows) of one optimizer step")] = 8
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Annotated[int, Field(ge=0, description="0: as many as the epochs have")] = 0


class Run(_Part):
    """Where, how long, and who watches."""

    seed: int = 17
    threads: Annotated[int, Field(ge=1)] = 1
    checkpoint_every_steps: Annotated[int, Field(ge=1)] = 200
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    wandb: Annotated[
        Literal["off", "offline", "online"], Field(description="offline writes a run folder below OUT/wandb, nothing is sent")
    ] = "off"
    tensorboard: bool = False
    price_per_hour: Price = 0.0
    out: str = "runs/tuning"


class TuningConfig(_Part):
    """What every tuning recipe has."""

    name: str = "slipway-tuned"
    model: Base = Base()
    data: Rows
    optim: Optim = Optim()
    run: Run = Run()


class SftConfig(TuningConfig):
    """Supervised tuning on conversations."""

    packing: Annotated[bool, Field(description="several conversations in one row, none of which sees another (best-fit decreasing)")] = True
    assistant_only: Annotated[bool, Field(description="loss on what the assistant says; false: on everything")] = True


class Adapter(_Part):
    """LoRA (Hu et al. 2021, arXiv 2106.09685): W + alpha / rank * B A."""

    rank: Annotated[int, Field(ge=1, le=512)] = 8
    alpha: Annotated[float, Field(gt=0)] = 16.0
    dropout: Share = 0.0
    targets: Annotated[
        Targets, Field(description="which linear layers; all: attention and mlp (Dettmers et al. 2023, arXiv 2305.14314)")
    ] = "all"


class Search(_Part):
    """Optuna's search over rank, alpha and targets; 0 trials: none."""

    trials: Annotated[int, Field(ge=0)] = 0
    ranks: tuple[int, ...] = (2, 4, 8, 16)
    alphas: Annotated[tuple[float, ...], Field(description="alpha as a multiple of the rank")] = (1.0, 2.0)
    targets: tuple[Targets, ...] = ("attention", "all")
    steps: Annotated[int, Field(ge=2, description="optimizer steps of one trial; half of them when it is pruned")] = 40
    minutes: Annotated[float, Field(ge=0, description="no trial is begun after this; 0: all trials")] = 0.0


class LoraConfig(SftConfig):
    """SFT of an adapter; the base stays as it is."""

    packing: bool = False
    adapter: Adapter = Adapter()
    search: Search = Search()
    served_model: Annotated[str, Field(description="the served model that the exported adapter belongs to; empty: no export")] = ""


class Best(_Part):
    """Rejection sampling: n answers of the model itself to every question with a known answer; right ones are chosen, wrong ones rejected."""

    samples: Annotated[int, Field(ge=0, le=64, description="answers drawn for each question; 0: pairs come from the file")] = 0
    temperature: Annotated[float, Field(gt=0)] = 0.8
    max_new_tokens: Annotated[int, Field(ge=1)] = 48
    questions: Annotated[int, Field(ge=1, description="at most so many")] = 500


class Heuristics(_Part):
    """Weights of the rewards that rank answers where the verifier does not decide."""

    length: float = 0.1
    form: float = 0.5
    grounded: float = 1.0
    arithmetic: float = 1.0
    words: Annotated[tuple[int, int], Field(description="lengths that cost nothing")] = (3, 80)


class DpoConfig(TuningConfig):
    """Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290)."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    loss: Annotated[Literal["sigmoid", "ipo", "hinge"], Field(description="TRL's loss_type")] = "sigmoid"
    best: Best = Best()
    rewards: Heuristics = Heuristics()


class TeacherModel(_Part):
    """Who is learnt from. A local Hugging Face folder with the student's tokenizer for logits; that or rows of `data synth` for texts."""

    folder: Annotated[str, Field(description="empty: a made teacher, tuned on the same rows first (tiny runs)")] = ""
    name: str = ""
    version: str = ""
    licence: str = ""
    steps: Annotated[int, Field(ge=1, description="optimizer steps of a made teacher")] = 120
    width: Annotated[int, Field(ge=32)] = 96


class Divergence(_Part):
    """What is minimised between teacher p and student q, both at `temperature`; see `slipway_training.tuning.divergence`."""

    kind: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    temperature: Annotated[float, Field(gt=0)] = 2.0
    beta: Annotated[float, Field(gt=0, lt=1, description="of the Jensen-Shannon divergence")] = 0.5
    top_k: Annotated[int, Field(ge=1, description="teacher's most likely tokens that are kept; the others are one bucket")] = 32
    weight: Annotated[Share, Field(description="of the divergence; the rest is the loss on the rows' own tokens")] = 0.7


class Texts(_Part):
    """Sequence-level distillation (Kim and Rush 2016, arXiv 1606.07947): the teacher's own answers are the rows."""

    max_new_tokens: Annotated[int, Field(ge=1)] = 48
    verified: Annotated[bool, Field(description="keep only answers whose number agrees with the row's")] = True
    samples: Annotated[
        int, Field(ge=1, le=64, description="1: the greedy answer; more: drawn, and the first that the verifier takes (Yuan et al. 2023)")
    ] = 1
    temperature: Annotated[float, Field(gt=0, description="of drawn answers")] = 0.8

    @model_validator(mode="after")
    def _drawn_are_verified(self) -> "Texts":
        if self.samples > 1 and not self.verified:
            raise ValueError("texts.samples above 1 needs texts.verified=true: the verifier chooses among them")
        return self


class DistillConfig(SftConfig):
    """A student learns from a teacher: from its logits, or from its texts."""

    packing: bool = False
    method: Literal["logits", "sequence"] = "logits"
    teacher: TeacherModel = TeacherModel()
    divergence: Divergence = Divergence()
    texts: Texts = Texts()
