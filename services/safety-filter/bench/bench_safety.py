"""The safety filter beside presidio-analyzer and torch inference, and what guarding a stream costs. CPU time first, medians of interleaved rounds.

    python services/safety-filter/bench/bench_safety.py --data DATA [--presidio VENV] [--rounds 5] [--json OUT --plot OUT.svg]

`--presidio` names a venv that has presidio-analyzer, or a folder in which one is made now. Without `--data` the texts are made up. Recall counts a
value as found where a span of its kind covers it. CPU time is of the whole process: on a shared machine wall time measures the neighbours.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import contenders
import stream_guard
from contenders import Turn
from rich.console import Console
from rich.progress import track
from rich.table import Table
from slipway_safety_filter.evaluate import figures, people, prompts, redteam
from slipway_safety_filter.evaluate.measures import PRESIDIO
from slipway_safety_filter.evaluate.report import bars

HERE = Path(__file__).parent
Truth = list[list[tuple[str, int, int]]]


def personal(data: Path | None, count: int) -> tuple[str, list[str], Truth]:
    """Texts with the places of six kinds: pii_presidio's, or made-up ones."""
    file = data / "pii_presidio" / "generated_large.json" if data else None
    if file and file.is_file():
        rows = json.loads(file.read_text(encoding="utf-8"))[:count]
        truth = [
            [(PRESIDIO[s["entity_type"]], s["start_position"], s["end_position"]) for s in row["spans"] if s["entity_type"] in PRESIDIO]
            for row in rows
        ]
        return "pii_presidio", [row["full_text"] for row in rows], truth
    made = [p for p in people.planted(count // 6) if p.category in PRESIDIO.values()][:count]
    return "made up", [p.text for p in made], [[(p.category, p.start, p.end)] for p in made]


def quality(found: Truth, truth: Truth) -> tuple[float, float]:
    """(recall by cover, precision by overlap) over all six kinds."""
    covered = [
        any(k == kind and a <= start and b >= end for k, a, b in spans)
        for spans, known in zip(found, truth, strict=True)
        for kind, start, end in known
    ]
    right = [
        any(k == kind and a < end and b > start for kind, start, end in known)
        for spans, known in zip(found, truth, strict=True)
        for k, a, b in spans
    ]
    return sum(covered) / max(1, len(covered)), sum(right) / max(1, len(right))


def rounds(runs: dict[str, Callable[[Sequence[str]], Turn]], texts: Sequence[str], count: int, console: Console) -> dict[str, list[Turn]]:
    """One warm-up, then `count` rounds in which every contender has its turn."""
    out: dict[str, list[Turn]] = {name: [] for name in runs}
    for n in track(range(count + 1), description=f"{len(texts)} texts", console=console, disable=not console.is_terminal):
        for name, run in runs.items():
            turn = run(texts)
            if n:
                out[name].append(turn)
    return out


def row(turns: Sequence[Turn], count: int) -> dict[str, float]:
    """Documents per second of CPU and of wall time, medians; and the spread of the former."""
    rates = sorted(count / turn.cpu for turn in turns)
    return {
        "docs_per_cpu_s": statistics.median(rates),
        "low": rates[0],
        "high": rates[-1],
        "docs_per_wall_s": statistics.median(count / t.wall for t in turns),
    }


def pii(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    source, texts, truth = personal(options.data, options.texts)
    runs: dict[str, Callable[[Sequence[str]], Turn]] = {"slipway, every kind": contenders.our_patterns}
    peer = contenders.Presidio(contenders.peer_python(options.presidio)) if options.presidio else None
    if peer is not None:
        runs |= {
            "presidio AnalyzerEngine": lambda t: peer.run("engine", t),
            "presidio, six bare recognisers": lambda t: peer.run("bare", t),
        }
    turns = rounds(runs, texts, options.rounds, console)
    if peer is not None:
        peer.close()
    out: dict[str, Any] = {}
    for name, done in turns.items():
        recall, precision = quality(done[0].found, truth)
        out[name] = row(done, len(texts)) | {"recall": recall, "precision": precision}
    return {"texts": f"{len(texts)} of {source}", "rows": out}


def attacks(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    bad = redteam.merged(redteam.families())
    good = [*prompts.look_alikes(), *redteam.developers()]
    texts = [*bad, *good]
    runs = {
        "slipway prompt check": contenders.our_classifier(options.cache),
        "torch fp32, same encoder and heads": contenders.torch_classifier(),
    }
    turns = rounds({name: partial(contenders.timed, run) for name, run in runs.items()}, texts, options.rounds, console)
    out: dict[str, Any] = {}
    for name, done in turns.items():
        scores = done[0].found
        at = figures.threshold_at(scores[len(bad) :], 0.02)
        out[name] = row(done, len(texts)) | {
            "recall_at_2_percent": figures.share_reaching(scores[: len(bad)], at).value, "auc": figures.area(scores[: len(bad)], scores[len(bad) :]),
        }  # fmt: skip
    long = [" ".join(good[i : i + 16])[:1150] for i in range(0, len(good) - 16, 6)]
    for name, done in rounds({name: partial(contenders.timed, run) for name, run in runs.items()}, long, options.rounds, console).items():
        out[name]["ms_at_256_tokens"] = 1000 * statistics.median(t.cpu for t in done) / len(long)
    return {"texts": f"{len(bad)} attacks and {len(good)} harmless texts written for the red team", "rows": out}


def guard(options: argparse.Namespace) -> dict[str, Any]:
    found = asyncio.run(stream_guard.measure(options.requests, options.frames, options.gap, options.cache))
    shares = (("p50", 0.5), ("p95", 0.95))
    rows = {
        name: {
            f"{kind}_{label}_ms": 1000 * figures.percentile(seconds, share) for kind, seconds in times.items() for label, share in shares
        }
        for name, times in found.items()
    }
    plain, checked = rows["no filter"], rows["filter"]
    return {
        "requests": options.requests, "gap_ms": 1000 * options.gap, "rows": rows, "added_ttft_ms": checked["ttft_p50_ms"] - plain["ttft_p50_ms"],
        "added_itl_percent": 100 * (checked["mean_p50_ms"] / plain["mean_p50_ms"] - 1),
    }  # fmt: skip


def show(console: Console, name: str, part: dict[str, Any]) -> None:
    rows: dict[str, dict[str, float]] = part["rows"]
    table = Table("", *next(iter(rows.values())), title=f"{name}: {part.get('texts', '')}", title_justify="left")
    for row_name, values in rows.items():
        table.add_row(row_name, *(f"{v:,.0f}" if v >= 100 else f"{v:.3f}" for v in values.values()))
    console.print(table)
    for key in ("added_ttft_ms", "added_itl_percent"):
        if key in part:
            console.print(f"{key}: {part[key]:.2f}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = os.environ.get("SLIPWAY_DATA_DIR")
    parser.add_argument("--data", type=Path, default=Path(folder) if folder else None, help="the open folders; default SLIPWAY_DATA_DIR")
    parser.add_argument("--presidio", type=Path, help="a venv with presidio-analyzer; made there if it is not; left out: ours alone")
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=30, help="streams through each gateway")
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--gap", type=float, default=0.02, help="seconds between two frames of the upstream")
    parser.add_argument("--cache", type=Path, default=Path(".slipway/safety"))
    parser.add_argument("--json", type=Path, help="where the figures are written")
    parser.add_argument("--plot", type=Path, help="where the bars are drawn (SVG)")
    options = parser.parse_args()
    console = Console()
    results = {"personal data": pii(options, console), "attacks": attacks(options, console), "stream": guard(options)}
    for name, part in results.items():
        show(console, name, part)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        rates = {n: v["docs_per_cpu_s"] for part in ("personal data", "attacks") for n, v in results[part]["rows"].items()}
        bars(options.plot, "documents per second of CPU", rates)


if __name__ == "__main__":
    sys.exit(main())
