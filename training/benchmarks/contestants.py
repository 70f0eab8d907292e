"""The contestants of the training benchmark, each run on its own: `python contestants.py ours|trainer SPEC OUT` prints one JSON line, each also
under torchrun, as data-parallel processes.

It knows our loop, Hugging Face's Trainer, and how both are timed and evaluated alike. It refuses to know rounds and reports.

The Trainer gets what it does best: labels that come shifted, the fused AdamW, no logging, no saving, no bar. Our loop runs as a recipe runs it, with its log
and its monitors.
"""

import json
import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHAPES = {
    "tiny": {"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "mlp_width": 64, "vocab": 512},
    "3M": {"width": 192, "layers": 6, "heads": 6, "kv_heads": 2, "mlp_width": 512, "vocab": 4096},
    "6M": {"width": 256, "layers": 6, "heads": 8, "kv_heads": 4, "mlp_width": 768, "vocab": 8192},
    "16M": {"width": 384, "layers": 8, "heads": 6, "kv_heads": 2, "mlp_width": 1024, "vocab": 8192},
    "125M": {"width": 768, "layers": 12, "heads": 12, "kv_heads": 4, "mlp_width": 2048, "vocab": 32768},
    "300M": {"width": 1024, "layers": 20, "heads": 8, "kv_heads": 2, "mlp_width": 2816, "vocab": 32768},
}
"""Llama shapes by name; tiny is for tests, 125M and 300M (the recipe config.300m.yaml) for a GPU."""


@dataclass(frozen=True, slots=True)
class Spec:
    """One contest. `skip` steps warm up and are not timed."""

    shape: str
    rows: str
    steps: int
    skip: int
    batch_rows: int
    micro_rows: int
    threads: int
    precision: str
    compile: bool = False
    learning_rate: float = 2e-3
    seed: int = 17


@dataclass(frozen=True, slots=True)
class Result:
    """One run: tokens/s over the timed steps, CPU seconds of those steps and peak memory in MiB of all its processes, losses in nats a token."""

    tokens_per_second: float
    cpu_seconds: float
    peak_mb: float
    train_loss: float
    held_out: float
    parameters: int


class Clock:
    """Wall and CPU time between the end of step `skip` and of the last step."""

    def __init__(self, skip: int) -> None:
        self._skip, self._seen = skip, 0
        self.wall, self.cpu = [0.0, 0.0], [0.0, 0.0]

    def tick(self) -> None:
        """A step ended."""
        self._seen += 1
        if self._seen >= self._skip:
            _synchronize()
            at = 0 if self._seen == self._skip else 1
            self.wall[at], self.cpu[at] = time.perf_counter(), time.process_time()


def config_of(spec: Spec, out: str) -> Any:
    from slipway_training.data.packed import open_packed
    from slipway_training.pretrain.config import PretrainConfig

    shape = {k: v for k, v in SHAPES[spec.shape].items() if k != "vocab"}
    context = open_packed(Path(spec.rows)).context
    return PretrainConfig.model_validate(
        {
            "model": shape,
            "data": {"packed": spec.rows, "curriculum": False},
            "optim": {
                "learning_rate": spec.learning_rate, "warmup_share": 0.0, "floor_share": 0.0, "batch_tokens": spec.batch_rows * context,
                "micro_rows": max(1, spec.micro_rows // int(os.environ.get("WORLD_SIZE", "1"))), "spike": 0.0,
            },
            "run": {
                "seed": spec.seed, "threads": spec.threads, "tokens": spec.steps * spec.batch_rows * context, "precision": spec.precision,
                "compile": spec.compile, "eval_every_steps": 1_000_000, "checkpoint_every_steps": 1_000_000, "out": out,
            },
        }
    )  # fmt: skip


def ours(spec: Spec, out: Path) -> Result:
    """Our loop, as the recipe opens it."""
    import torch
    from slipway_training.pretrain.recipe import open_loop
    from slipway_training.pretrain.rows import find_rows

    torch.set_num_threads(spec.threads)
    config = config_of(spec, str(out))
    out.mkdir(parents=True, exist_ok=True)
    rows = find_rows(config.data, out, spec.seed)
    loop = open_loop(config, rows, out)
    clock, losses = Clock(spec.skip), list[float]()

    def on_step(step: Any) -> None:
        clock.tick()
        losses.append(step.loss)

    def timed(*_: Any) -> None:
        clock.tick()

    if loop.rank > 0:  # on_step is called in the first process alone
        loop.optimizers[0].register_step_post_hook(timed)
    loop.train(on_step)
    return _result(spec, clock, losses, loop.plain.llama, rows.packed, loop.order.held_out)


def theirs(spec: Spec, out: Path) -> Result:
    """Hugging Face's Trainer on the same model, rows and settings."""
    import torch
    from slipway_training.data.packed import open_packed
    from slipway_training.pretrain.model import build
    from slipway_training.pretrain.order import Order
    from slipway_training.tokenizer import END, PAD, load_tokenizer, special_id
    from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

    torch.set_num_threads(spec.threads)
    config, packed = config_of(spec, str(out)), open_packed(Path(spec.rows))
    tokenizer = load_tokenizer(Path(spec.rows) / "tokenizer.json")
    start = build(config.model, packed.vocab_size, packed.context, special_id(tokenizer, END), special_id(tokenizer, PAD), spec.seed)
    model = LlamaForCausalLM(start.config)  # transformers' own modules and kernels, our start
    model.set_attn_implementation("sdpa")
    model.load_state_dict(start.state_dict())
    order = Order((len(packed),), held_out=config.data.held_out_rows, seed=spec.seed)
    numbers = order.take(0, spec.steps * spec.batch_rows)
    clock = Clock(spec.skip)

    class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
        """Rows in our loop's order; labels come shifted, which saves the Trainer's model a copy and keeps the same predictions."""

        def __len__(self) -> int:
            return len(numbers)

        def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
            row = torch.from_numpy(packed.row(int(numbers[i]))).long()
            return {"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]}

    class Timed(TrainerCallback):
        def on_step_end(self, *_args: Any, **_named: Any) -> None:
            clock.tick()

    optim, gpu, world = config.optim, torch.cuda.is_available(), int(os.environ.get("WORLD_SIZE", "1"))
    arguments = TrainingArguments(
        output_dir=str(out), use_cpu=not gpu, bf16=spec.precision == "bf16", per_device_train_batch_size=spec.micro_rows // world,
        ddp_backend="gloo" if world > 1 and not gpu else None, gradient_accumulation_steps=spec.batch_rows // spec.micro_rows,
        max_steps=spec.steps, learning_rate=spec.learning_rate,
        lr_scheduler_type="cosine", warmup_steps=0, weight_decay=optim.weight_decay, adam_beta1=optim.beta1, adam_beta2=optim.beta2, adam_epsilon=1e-8,
        max_grad_norm=optim.clip_norm, optim="adamw_torch_fused", train_sampling_strategy="sequential", save_strategy="no", report_to="none",
        logging_steps=1_000_000, disable_tqdm=True, dataloader_pin_memory=gpu, seed=spec.seed, remove_unused_columns=False, torch_compile=spec.compile,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=Rows(), callbacks=[Timed()])
    told = trainer.train()
    return _result(spec, clock, [float(told.training_loss)], model, packed, order.held_out)


def _result(spec: Spec, clock: Clock, losses: list[float], model: Any, packed: Any, held_out: Any) -> Result:
    wall, cpu = clock.wall[1] - clock.wall[0], clock.cpu[1] - clock.cpu[0]
    tokens = (spec.steps - spec.skip) * spec.batch_rows * packed.context
    cpu, peak = _of_all_processes(cpu, _peak_mb())
    return Result(
        tokens / wall,
        cpu,
        peak,
        float(np.mean(losses)) if losses else float("nan"),
        _held_out(model, packed, held_out),
        sum(p.numel() for p in model.parameters()),
    )


def _held_out(model: Any, packed: Any, numbers: Any) -> float:
    """The same fp32 evaluation for both, by transformers' own loss."""
    import torch

    model.eval().set_attn_implementation("sdpa")
    device = next(model.parameters()).device
    losses = list[float]()
    with torch.inference_mode():
        for at in range(0, len(numbers), 8):
            ids = torch.from_numpy(packed.rows(numbers[at : at + 8])).long().to(device)
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            losses += [float(loss)] * len(ids)
    return float(np.mean(losses))


def _of_all_processes(*mine: float) -> list[float]:
    """Each number summed over the processes of the run."""
    import torch

    if not torch.distributed.is_initialized():
        return list(mine)
    total = torch.tensor(mine, dtype=torch.float64)
    torch.distributed.all_reduce(total)
    return total.tolist()


def _peak_mb() -> float:
    """Of the GPU where there is one, else the process's largest resident set."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _synchronize() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    """One contestant, one line."""
    which, spec, out = sys.argv[1], Spec(**json.loads(sys.argv[2])), Path(sys.argv[3])
    result = (ours if which == "ours" else theirs)(spec, out)
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(asdict(result)))  # noqa: T201


if __name__ == "__main__":
    main()
