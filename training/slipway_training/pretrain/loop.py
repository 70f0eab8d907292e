"""The training loop, top to bottom: rows in, weights out. The same lines run on one core, under torchrun, and sharded.

It knows the schedule, accumulation, averages, alarms, checkpoints, signals and the log. It refuses to know where rows come from, how state is written
(state.py) and how progress is drawn (a callback is told). Random numbers are drawn anew from (seed, step, process), so that a step needs no history:
a run that was killed at any point and started again writes the same log, bit for bit, on a CPU.
"""

import json
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from slipway_training.errors import CheckpointError, TrainingError
from slipway_training.pretrain import monitors, state
from slipway_training.pretrain.attention import attention_kernels
from slipway_training.pretrain.config import PretrainConfig
from slipway_training.pretrain.lanes import Lanes, lanes_for
from slipway_training.pretrain.model import drop_layers
from slipway_training.pretrain.monitors import ActivationMeter
from slipway_training.pretrain.network import Network
from slipway_training.pretrain.optim import make_optimizers, schedule, set_rates
from slipway_training.pretrain.order import Order
from slipway_training.pretrain.processes import join_processes
from slipway_training.pretrain.sharding import no_sync, settle, shard
from slipway_training.pretrain.state import Cursor
from slipway_training.pretrain.upload import Uploader
from slipway_training.signals import stop_on_signal

LOG = "log.jsonl"
MOST_SKIPPED = 20
"""Steps passed over one after the other before the run is called diverged."""

ReadRows = Callable[[NDArray[np.int64]], NDArray[np.int32]]


@dataclass(frozen=True, slots=True)
class Step:
    """What one optimizer step tells. `loss` in nats a token; `seconds` of training in all; `sizes` of activations and `noise` in tokens where measured."""

    step: int
    tokens: int
    loss: float
    lr: float
    grad_norm: float
    tokens_per_second: float
    seconds: float
    progress: float
    held_out: float | None = None
    noise: float | None = None
    sizes: list[float] = field(default_factory=list[float])
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: `done`, or stopped by a signal and resumable; `held_out` is the last evaluation loss, `notes` what went wrong on the way."""

    done: bool
    cursor: Cursor
    held_out: float
    notes: tuple[str, ...]


class Loop:
    """One run of one process: its network, optimizers, average, rows and cursor."""

    def __init__(
        self, network: Network, order: Order, rows: ReadRows, config: PretrainConfig, folder: Path, fingerprint: str, context: int
    ) -> None:
        """`rows` gives (n, context + 1) ids for row numbers; `folder` gets log.jsonl and checkpoints/; `fingerprint` names what the numbers depend on."""
        run, optim = config.run, config.optim
        self.config, self.order, self.rows, self.folder = config, order, rows, folder
        join_processes(gpu=torch.cuda.is_available())
        # Precision is our own affair: Accelerate keeps one for the whole process, and two runs may differ.
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.device, self.world, self.rank = self.accelerator.device, self.accelerator.num_processes, self.accelerator.process_index
        layers = list(network.llama.model.layers)
        drop_layers(layers, config.model.layer_drop)
        self.meter = ActivationMeter(layers)
        if run.gradient_checkpointing:
            network.llama.activation_checkpointing_enable()
        if run.compile:
            for layer in layers:
                layer.compile()
        self.network: nn.Module = network.to(self.device)
        if run.sharding != "none":
            shard(network, run.sharding, self.device.type)
        self.optimizers = make_optimizers(network, config.model, optim)
        self.plain = network
        if self.world > 1 and run.sharding == "none":
            self.network = self.accelerator.prepare(network)
        alone = self.world == 1 and self.device.type == "cpu"
        count = lanes_for(run.threads, alone_on_cpu=alone, random=config.model.layer_drop > 0, compiled=run.compile)
        self.lanes = Lanes(self.network, count, self._precision)
        self.rows_a_step = max(1, optim.batch_tokens // context // self.world) * self.world
        self.step_tokens = self.rows_a_step * context
        found, self.cursor, notes = state.newest(folder / "checkpoints", fingerprint)
        self.notes = list(notes)
        self.ema = [p.detach().clone() for p in network.parameters()] if optim.ema else None
        if found is not None:
            state.put_back(network, self.optimizers, self.ema, found)
        self.began, self.before = time.monotonic(), self.cursor.seconds
        self.held_out = float("nan")
        self.uploader = Uploader(run.upload_to, folder / ".upload") if run.upload_to and self.rank == 0 else None

    @property
    def progress(self) -> float:
        """Share of the run that is behind us: by tokens, or by the clock where that is further."""
        run, by_tokens = self.config.run, self.cursor.tokens / self.config.run.tokens
        return max(by_tokens, self.cursor.seconds / (60 * run.minutes)) if run.minutes else by_tokens

    def train(self, on_step: Callable[[Step], None]) -> Outcome:
        """To the end, or to a signal. Raises TrainingError when the run diverges and CheckpointError when its last state cannot be written."""
        self._cut_log()
        self.network.train()
        failures = 0
        with stop_on_signal() as stopped, (self.folder / LOG).open("a", encoding="utf-8") as log, self.lanes:
            while self.progress < 1.0 and not self._any(stopped()):
                step = self._step()
                failures = failures + 1 if step.note else 0
                if failures >= MOST_SKIPPED:
                    raise TrainingError(
                        f"{failures} steps in a row were passed over ({step.note}): the run diverged; lower optim.learning_rate or raise optim.clip_norm"
                    )
                if self.rank == 0:
                    log.write(json.dumps(asdict(step)) + "\n")
                    log.flush()
                    on_step(step)
                if self.cursor.step % self.config.run.checkpoint_every_steps == 0:
                    self.save()
        done = self.progress >= 1.0
        self.save(last=True)
        if self.uploader is not None:
            self.notes += self.uploader.close()
        return Outcome(done, self.cursor, self.evaluate(), tuple(self.notes))

    def _step(self) -> Step:
        """One optimizer step: read, accumulate, judge, update, count."""
        config, cursor = self.config, self.cursor
        share = schedule(config.optim, self.progress)
        set_rates(self.optimizers, share)
        watched = (cursor.step + 1) % config.run.monitor_every_steps == 0
        torch.manual_seed((config.run.seed * 1_000_003 + cursor.step) * 4096 + self.rank)
        loss, norm, noise = self._gradients(self._batch(), watched=watched)
        note = ""
        if not np.isfinite(loss) or monitors.is_spike(norm, cursor.norms, config.optim.spike):
            note = f"step passed over: loss {loss:.4g}, gradient norm {norm:.4g}"
        else:
            for optimizer in self.optimizers:
                optimizer.step()
            self._follow()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        sizes = self.meter.take()
        if sizes and max(sizes) > monitors.LARGEST_ACTIVATION:
            self.notes.append(f"step {cursor.step + 1}: a layer's output has size {max(sizes):,.0f}; the run may diverge")
        self._advance(norm, skipped=bool(note))
        held_out = self.evaluate() if self.cursor.step % config.run.eval_every_steps == 0 else None
        seconds = self.cursor.seconds - cursor.seconds
        return Step(
            step=self.cursor.step, tokens=self.cursor.tokens, loss=loss, lr=config.optim.learning_rate * share, grad_norm=norm,
            tokens_per_second=self.step_tokens / max(seconds, 1e-9), seconds=self.cursor.seconds, progress=self.progress, held_out=held_out,
            noise=noise, sizes=sizes, note=note,
        )  # fmt: skip

    def _batch(self) -> list[Tensor]:
        """This process's rows of the step, as micro-batches on the device."""
        numbers = self.order.take(self.cursor.rows, self.rows_a_step)[self.rank :: self.world]
        ids = torch.from_numpy(self.rows(numbers)).long().to(self.device)
        return list(ids.split(self.config.optim.micro_rows))

    def _gradients(self, micros: list[Tensor], *, watched: bool) -> tuple[float, float, float | None]:
        """(mean loss, gradient norm before clipping, noise scale where it could be measured); gradients are clipped and averaged over processes."""
        total = torch.zeros((), device=self.device)
        count = sum(len(micro) for micro in micros)
        small: float | None = None
        for index, micro in enumerate(micros):
            self.meter.on = watched and index == 0
            with self._unsynced(index < len(micros) - 1):
                total += self.lanes.backward(micro, len(micro) / count)
            self.meter.on = False
            if watched and index == 0 and self.world == 1 and len(micros) > 1:
                small = monitors.squared_norm(self.plain.parameters()) * (count / len(micro)) ** 2
        clipped: Any = torch.nn.utils.clip_grad_norm_(self.plain.parameters(), self.config.optim.clip_norm)
        norm = float(clipped.full_tensor() if hasattr(clipped, "full_tensor") else clipped)
        context = micros[0].shape[1] - 1
        noise = monitors.noise_scale(small, len(micros[0]) * context, norm**2, count * context) if small is not None else None
        return self._mean(total), norm, noise

    def _unsynced(self, wanted: bool) -> AbstractContextManager[None]:
        """Gradients of all but the last micro-batch stay on their process."""
        return no_sync(self.network) if wanted and self.world > 1 else nullcontext()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the weights' average (Polyak and Juditsky 1992); its decay grows from zero, so that the start is soon forgotten."""
        if self.ema is not None:
            decay = min(self.config.optim.ema, (1 + self.cursor.step) / (10 + self.cursor.step))
            for slow, fast in zip(self.ema, self.plain.parameters(), strict=True):
                slow.lerp_(fast, 1 - decay)

    def _advance(self, norm: float, *, skipped: bool) -> None:
        cursor = self.cursor
        norms = cursor.norms if skipped else (*cursor.norms, norm)[-monitors.WINDOW :]
        self.cursor = cursor.model_copy(
            update={
                "step": cursor.step + 1, "rows": cursor.rows + self.rows_a_step, "tokens": cursor.tokens + self.step_tokens,
                "seconds": self.before + time.monotonic() - self.began, "skipped": cursor.skipped + skipped, "norms": norms,
            }
        )  # fmt: skip

    @torch.no_grad()
    def evaluate(self) -> float:
        """Mean loss in nats a token over the held-out rows, by the average of the weights where there is one. Every process must call it."""
        self.network.eval()
        with self.averaged(), self._precision():
            losses: list[Tensor] = []
            # Every process reads as many rows: under sharding all of them take part in every forward pass.
            mine = np.resize(self.order.held_out, -(-len(self.order.held_out) // self.world) * self.world)[self.rank :: self.world]
            for at in range(0, len(mine), self.config.optim.micro_rows):
                ids = torch.from_numpy(self.rows(mine[at : at + self.config.optim.micro_rows])).long().to(self.device)
                losses.append(self.plain(ids).float() * len(ids))
            settle(self.plain)
        self.network.train()
        self.held_out = self._mean(torch.stack(losses).sum() / len(mine))
        return self.held_out

    def averaged(self) -> AbstractContextManager[None]:
        """Within it the network has the average's weights, where there is an average."""
        return _Swapped(self.plain, self.ema) if self.ema is not None else nullcontext()

    def save(self, *, last: bool = False) -> None:
        """Write a checkpoint. A full disk is said and the run goes on with the one before; at the end it raises CheckpointError."""
        collected = state.collect(self.plain, self.optimizers, self.ema)
        if self.rank == 0:
            run = self.config.run
            try:
                path = state.save(self.folder / "checkpoints", collected, self.cursor, run.keep_checkpoints, run.shard_mb)
            except OSError as error:
                if last:
                    raise CheckpointError(f"{error}; free some room and start again: the run goes on from the checkpoint before") from error
                self.notes.append(f"step {self.cursor.step}: {error}; the checkpoint before is kept")
            else:
                if self.uploader is not None:
                    self.uploader.send(path)
        self.accelerator.wait_for_everyone()

    def _any(self, mine: bool) -> bool:
        """Whether any process was told to stop: all of them must leave the loop at the same step."""
        if self.world == 1:
            return mine
        return self._mean(torch.tensor(float(mine), device=self.device)) > 0

    @contextmanager
    def _precision(self) -> Generator[None]:
        kind, bf16 = self.device.type, self.config.run.precision == "bf16"
        # Without torch's cache of cast weights: a forward pass uses each of them once, and the lanes would share it.
        with torch.autocast(kind, torch.bfloat16, enabled=bf16, cache_enabled=False), attention_kernels(kind):
            yield

    def _mean(self, mine: Tensor) -> float:
        """The mean of a number over all processes."""
        return float(cast("Tensor", self.accelerator.reduce(mine, "mean")))

    def _cut_log(self) -> None:
        """Lines past the checkpoint are of steps that are done again."""
        path = self.folder / LOG
        if self.rank == 0 and path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text("".join(line for line in lines[: self.cursor.step] if line.endswith("\n")), encoding="utf-8")
        self.accelerator.wait_for_everyone()


class _Swapped:
    """Within it the network has the average's weights."""

    def __init__(self, network: nn.Module, ema: list[Tensor]) -> None:
        self._network, self._ema = network, ema

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for slow, fast in zip(self._ema, self._network.parameters(), strict=True):
            kept = fast.detach().clone()
            fast.copy_(slow)
            slow.copy_(kept)
