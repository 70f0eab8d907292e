"""Training speed at equal loss: our loop beside Hugging Face's Trainer. `make bench-training`.

Both get the same start, the same rows in the same order, the same precision, AdamW settings, clipping and cosine, and are evaluated by the same code on the same
held-out rows. Each round runs each contestant in a process of its own, in turn, so that a busy machine disturbs all alike; medians over rounds are shown.
With two or more threads both are run in both ways that they have on a CPU: one process with all threads, and data-parallel processes of one thread (torchrun).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

from contestants import SHAPES, Result, Spec, config_of

TITLES = {
    "ours": "our loop", "ours_processes": "our loop, torchrun", "trainer": "HF Trainer", "trainer_processes": "HF Trainer, torchrun",
}  # fmt: skip
PAIRS = (("ours", "trainer"), ("ours", "trainer_processes"), ("ours_processes", "trainer_processes"), ("ours_processes", "trainer"))
"""Whose figures are divided by whose, where both ran."""


def pipeline_rate(rows: Path, batch_rows: int, seed: int) -> float:
    """Tokens/s at which shuffled rows are read as our loop reads them: order, gather and int64 tensor; one thread, files in the page cache."""
    import torch
    from slipway_training.data.packed import open_packed
    from slipway_training.pretrain.order import Order

    packed = open_packed(rows)
    order, best = Order((len(packed),), held_out=64, seed=seed), 0.0
    for _ in range(5):
        first, steps = 0, max(20, len(packed) // batch_rows)
        begun = time.perf_counter()
        for _ in range(steps):
            torch.from_numpy(packed.rows(order.take(first, batch_rows))).long()
            first += batch_rows
        best = max(best, steps * batch_rows * packed.context / (time.perf_counter() - begun))
    return best


def child(which: str, spec: Spec, out: Path) -> Result:
    """One contestant in a process of its own, or in as many as `spec` has threads; raises RuntimeError with its last words."""
    start, threads = [sys.executable], spec.threads
    if which.endswith("_processes"):
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(threads)]
        threads = 1
    words = [
        *start,
        str(Path(__file__).with_name("contestants.py")),
        which.removesuffix("_processes"),
        json.dumps(asdict(replace(spec, threads=threads))),
        str(out),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{which} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Result(**json.loads(lines[-1]))


def contest(
    spec: Spec, names: Sequence[str], rounds: int, out: Path, say: Callable[[str], None], *, go_on: bool = False
) -> dict[str, list[Result]]:
    """Rounds of the contestants, the order turned in every round. `go_on` takes what a call with the same spec has left in `out`/rounds.jsonl."""
    shared = spec.threads > 1 and not cuda_is_here()
    results: dict[str, list[Result]] = {name: [] for name in TITLES if name in names and (shared or not name.endswith("_processes"))}
    kept = out / "rounds.jsonl"
    if not go_on:
        kept.unlink(missing_ok=True)
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []:
        row = json.loads(line)
        if row["spec"] == asdict(spec) and row["which"] in results and len(results[row["which"]]) < rounds:
            results[row["which"]].append(Result(**row["result"]))
    for number in range(rounds):
        for which in list(results)[:: 1 if number % 2 == 0 else -1]:
            if len(results[which]) > number:
                continue
            folder = out / which
            shutil.rmtree(folder, ignore_errors=True)
            found = child(which, spec, folder)
            results[which].append(found)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"spec": asdict(spec), "which": which, "result": asdict(found)}) + "\n")
            say(f"round {number + 1} {which}: {found.tokens_per_second:,.0f} tokens/s, held-out {found.held_out:.4f}")
    return results


def summary(spec: Spec, results: dict[str, list[Result]], out: Path) -> dict[str, Any]:
    """Medians, their ratio, the model FLOPs utilisation (causal attention counted as half a square; `mfu_palm`: as a whole one) and the input pipeline's rate."""
    import torch
    from slipway_training.data.packed import open_packed
    from slipway_training.pretrain.model import flops_per_token
    from slipway_training.pretrain.speed import peak_flops

    packed = open_packed(Path(spec.rows))
    torch.set_num_threads(spec.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape, peak = config_of(spec, str(out)).model, peak_flops(device)
    flops, whole = (flops_per_token(shape, packed.vocab_size, packed.context, causal=causal) for causal in (True, False))
    middle = {
        name: {
            key: median(getattr(r, key) for r in runs) for key in ("tokens_per_second", "cpu_seconds", "peak_mb", "train_loss", "held_out")
        }
        for name, runs in results.items()
    }
    for figures in middle.values():
        figures["mfu"] = flops * figures["tokens_per_second"] / peak
        figures["mfu_palm"] = whole * figures["tokens_per_second"] / peak
    pipe = pipeline_rate(Path(spec.rows), spec.batch_rows, spec.seed)
    return {
        "spec": asdict(spec), "shape": SHAPES[spec.shape], "parameters": results["ours"][0].parameters, "device": _device(), "medians": middle,
        "gains": {f"{one}/{other}": _gain(results, middle, one, other) for one, other in PAIRS if {one, other} <= results.keys()},
        "pipeline_tokens_per_second": pipe, "pipeline_ratio": pipe / middle["ours"]["tokens_per_second"],
        "rounds": {name: [asdict(r) for r in runs] for name, runs in results.items()},
    }  # fmt: skip


def _gain(results: dict[str, list[Result]], middle: dict[str, dict[str, float]], one: str, peer: str) -> dict[str, Any]:
    """`one` over `peer`: tokens/s by medians and by round, CPU time, and the difference of the held-out losses in nats."""
    ours, theirs = middle[one], middle[peer]
    return {
        "ratio": ours["tokens_per_second"] / theirs["tokens_per_second"],
        "ratios": [a.tokens_per_second / b.tokens_per_second for a, b in zip(results[one], results[peer], strict=True)],
        "cpu_ratio": theirs["cpu_seconds"] / ours["cpu_seconds"],
        "held_out_gap": ours["held_out"] - theirs["held_out"],
    }


def cuda_is_here() -> bool:
    """Whether there is a GPU; torch is imported late, since `--help` needs none of it."""
    import torch

    return torch.cuda.is_available()


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "CPU"
    )
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"


def draw(made: dict[str, Any], path: Path) -> None:
    """Tokens/s of every round, and peak memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, (name, runs) in enumerate(made["rounds"].items()):
        left.bar(place, made["medians"][name]["tokens_per_second"], 0.6, label=name)
        left.scatter([place] * len(runs), [r["tokens_per_second"] for r in runs], color="black", s=10, zorder=3)
        right.bar(place, made["medians"][name]["peak_mb"], 0.6)
    for axis, title in ((left, "tokens/s, median of rounds"), (right, "peak memory, MiB")):
        axis.set_xticks(range(len(made["rounds"])), [TITLES[name].replace(", ", ",\n") for name in made["rounds"]], fontsize=7)
        axis.set_title(title, fontsize=9)
        axis.grid(alpha=0.3, axis="y")
    figure.savefig(path, metadata={"Date": None})


def table(made: dict[str, Any]) -> str:
    """The result as Markdown."""
    spec, middle = made["spec"], made["medians"]
    head = (
        f"{made['parameters']:,} parameters ({spec['shape']}), {spec['steps']} steps of {spec['batch_rows']} rows, "
        f"{spec['precision']}, {spec['threads']} thread(s), {made['device']}"
    )
    rows = ["| | tokens/s | CPU s | peak MiB | MFU | as PaLM counts | training loss | held-out loss |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for name, m in middle.items():
        rows.append(
            f"| {TITLES[name]} | {m['tokens_per_second']:,.0f} | {m['cpu_seconds']:.1f} | {m['peak_mb']:,.0f} | {m['mfu']:.1%} "
            f"| {m['mfu_palm']:.1%} | {m['train_loss']:.4f} | {m['held_out']:.4f} |"
        )
    tail = [
        f"- {TITLES[one]}: {gain['ratio']:.2f}x the tokens/s of {TITLES[peer]} (by round: {', '.join(f'{r:.2f}' for r in gain['ratios'])}), "
        f"{gain['cpu_ratio']:.2f}x by CPU time, held-out difference {gain['held_out_gap']:+.4f} nats."
        for pair, gain in made["gains"].items()
        for one, _, peer in (pair.partition("/"),)
    ]
    tail.append(
        f"\nRows are read at {made['pipeline_tokens_per_second']:,.0f} tokens/s, {made['pipeline_ratio']:,.0f}x what the model takes."
    )
    return "\n".join([head, "", *rows, "", *tail])


def main() -> None:
    """Options, the contest, and its three files."""
    options = _options()
    from rich.console import Console
    from slipway_training.device import device, multiplies_bf16
    from slipway_training.portfolio.corpus import prepare

    console = Console(stderr=True)
    rows = options.out / f"rows-{SHAPES[options.shape]['vocab']}-{options.context}"
    prepare(rows, SHAPES[options.shape]["vocab"], options.context, options.characters, options.data_dir)
    micro = options.micro_rows or options.batch_rows
    precision = options.precision if options.precision != "auto" else ("bf16" if multiplies_bf16(device()) else "fp32")
    spec = Spec(
        options.shape, str(rows), options.steps, options.skip, options.batch_rows, micro, options.threads, precision, options.compile,
    )  # fmt: skip

    def say(line: str) -> None:
        console.print(line, highlight=False)

    made = summary(spec, contest(spec, options.contestants, options.rounds, options.out, say, go_on=options.go_on), options.out)
    (options.out / "training.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    (options.out / "training.md").write_text(table(made) + "\n", encoding="utf-8")
    draw(made, options.out / "training.svg")
    Console().print(table(made), highlight=False, soft_wrap=True, markup=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="6M", help="the model (default 6M)")
    parser.add_argument(
        "--contestants", nargs="+", choices=list(TITLES), default=list(TITLES), help="ours and others; default all that the machine can run"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contestant (default 3)")
    parser.add_argument("--go-on", action="store_true", help="keep the rounds of an earlier call with the same words that was cut off")
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps of a run (default 40)")
    parser.add_argument("--skip", type=int, default=5, help="first steps that are not timed (default 5)")
    parser.add_argument("--batch-rows", type=int, default=16, help="rows of a step (default 16)")
    parser.add_argument("--micro-rows", type=int, default=0, help="rows of a forward pass; the rest is accumulated (default: all)")
    parser.add_argument("--context", type=int, default=256, help="tokens of a row (default 256)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument(
        "--precision", choices=["auto", "bf16", "fp32"], default="auto", help="of both (default: bf16 autocast where it pays)"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile for both")
    parser.add_argument("--characters", type=int, default=2_000_000, help="of text that is packed")
    parser.add_argument("--data-dir", default="", help="default: SLIPWAY_DATA_DIR, else the repository's own text")
    parser.add_argument("--out", type=Path, default=Path(".slipway/bench-training"), help="for the rows and the report")
    options = parser.parse_args()
    if "ours" not in options.contestants:
        parser.error("--contestants must have ours among them, which the others are divided by")
    return options


if __name__ == "__main__":
    main()
