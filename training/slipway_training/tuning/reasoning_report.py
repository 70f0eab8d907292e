"""The report of the reasoning portfolio: a page, its numbers as JSON, and a plot of every leg with intervals.

It knows scores by item. It refuses to round a difference away: a student that solves nothing is reported as one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from slipway_training.errors import StackMissing
from slipway_training.evaluation.scores import Figure, paired
from slipway_training.tuning.reasoning import LEGS, TEACHER, Plan, Scores
from slipway_training.tuning.reasoning_data import Sets

MEASURES = {
    "problems": "word problems solved",
    "choices": "choices right (log-likelihood)",
    "gold_nats": "nats a token of the short gold rationale",
}
PAIRS = (("rationales", "before"), ("answers", "before"), ("rationales", "answers"), ("rationales", TEACHER))


def write_report(folder: Path, plan: Plan, sets: Sets, scores: Mapping[str, Scores], teacher: Mapping[str, object]) -> str:
    """README.md, results.json and scores.svg in `folder`; the page's text comes back."""
    folder.mkdir(parents=True, exist_ok=True)
    legs = [leg for leg in (TEACHER, *LEGS) if leg in scores]
    means = {leg: {m: _mean(values) for m in MEASURES if (values := getattr(scores[leg], m))} for leg in legs}
    gaps = {
        f"{a} - {b}": {m: paired(getattr(scores[a], m), getattr(scores[b], m)) for m in MEASURES if m in means[a] and m in means[b]}
        for a, b in PAIRS
        if b in scores
    }
    cost = {leg: {"milliseconds": median(scores[leg].milliseconds), "tokens": _mean(scores[leg].tokens).mean} for leg in legs}
    results = {
        "plan": asdict(plan), "source": sets.source, "teacher": dict(teacher), "latency": cost,
        "scores": {leg: {m: _numbers(f) for m, f in row.items()} for leg, row in means.items()},
        "differences": {name: {m: _numbers(f) for m, f in row.items()} for name, row in gaps.items()},
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    _draw(means, cost, folder / "scores.svg")
    page = "\n".join(_page(plan, sets, means, gaps, cost, teacher))
    (folder / "README.md").write_text(page, encoding="utf-8")
    return page


def _page(plan: Plan, sets: Sets, means: Any, gaps: Any, cost: Any, teacher: Mapping[str, object]) -> list[str]:
    student = (
        f"the model in {Path(plan.student).name}"
        if plan.student
        else f"a base {plan.width} wide, {plan.layers} layers, {plan.pretrain_tokens:,} tokens of open text"
    )
    lines = [
        "# Reasoning distillation in small", "",
        f"Student: {student}. Items: {sets.source}; {len(sets.problems)} problems and {len(sets.choices)} choices to learn from,",
        f"{len(sets.held_problems)} and {len(sets.held_choices)} held out by the hash of the question.",
        f"Teacher: {teacher['name']} {teacher['version']} ({teacher['licence']}); {teacher['kept']} of {teacher['asked']} rationales passed.",
        f"Filters: {json.dumps(teacher['filters'])}.",
        "", "`answers` learns the same questions with the bare answer, so that rationales are not credited with what any tuning brings.", "",
        "| leg | " + " | ".join(MEASURES.values()) + " | tokens an answer | ms an answer |", "|---|" + "---|" * (len(MEASURES) + 2),
    ]  # fmt: skip
    for leg in means:
        lines.append(
            f"| {leg} | "
            + " | ".join(str(means[leg].get(m, "")) for m in MEASURES)
            + f" | {cost[leg]['tokens']:.1f} | {cost[leg]['milliseconds']:.0f} |"
        )
    lines += [
        "",
        "Differences on the same items, paired bootstrap, 95 %:",
        "",
        "| | " + " | ".join(MEASURES.values()) + " |",
        "|---|" + "---|" * len(MEASURES),
    ]
    for name, row in gaps.items():
        lines.append(f"| {name} | " + " | ".join(_signed(row[m]) if m in row else "" for m in MEASURES) + " |")
    lines += [
        "",
        "`*`: the interval leaves out zero. Chance on four options is 0.25. Milliseconds are of single answers on the machine of the run, a teacher's of "
        "its server; a teacher writes its choice, students weigh the options, and an API gives no likelihoods.",
        "",
        "![scores](scores.svg)",
        "",
    ]
    return lines


def _mean(values: list[float]) -> Figure:
    return paired(values, [0.0] * len(values))


def _signed(figure: Figure) -> str:
    sure = "" if figure.low <= 0 <= figure.high else " *"
    return f"{figure.mean:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]{sure}"


def _numbers(figure: Figure) -> list[float]:
    return [round(figure.mean, 4), round(figure.low, 4), round(figure.high, 4), figure.n]


def _draw(means: Any, cost: Any, path: Path) -> None:
    try:
        from matplotlib.figure import Figure as Page
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    page = Page(figsize=(10, 2.8), layout="constrained")
    axes: Any = page.subplots(1, len(MEASURES) + 1)
    for axis, (measure, title) in zip(axes, MEASURES.items(), strict=False):
        legs = [leg for leg in means if measure in means[leg]]
        figures = [means[leg][measure] for leg in legs]
        spread = [[max(0.0, f.mean - f.low) for f in figures], [max(0.0, f.high - f.mean) for f in figures]]
        axis.bar(legs, [f.mean for f in figures], yerr=spread, capsize=3)
        axis.set_title(title, fontsize=8)
    axes[-1].bar(list(cost), [row["milliseconds"] for row in cost.values()])
    axes[-1].set_title("ms an answer (median)", fontsize=8)
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3, axis="y")
    page.savefig(path, metadata={"Date": None})
