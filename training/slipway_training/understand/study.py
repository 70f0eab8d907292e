"""What a study leaves behind: a plot, the figures as JSON, and a page of Markdown that says what they mean.

It knows files and sentences. It refuses to know how anything was measured.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from slipway_training.evaluation.scores import Figure
from slipway_training.understand.ablation import Ablations, Effect
from slipway_training.understand.lens import Lens, over_layers
from slipway_training.understand.probe import Probed
from slipway_training.understand.trace import Profiled

TOP = 12


def lens_page(name: str, lenses: Sequence[Lens]) -> tuple[str, dict[str, object]]:
    """The page and the values of a logit lens over texts."""
    layers = over_layers(lenses)
    rows = [
        (_layer(i), f"{layers['probability'][i]:.3f}", f"{layers['rank'][i]:.0f}", f"{layers['agreement'][i]:.1%}", f"{layers['divergence'][i]:.3f}",
         f"{layers['next_rank'][i]:.0f}" if layers["next_rank"] else "")
        for i in range(len(layers["rank"]))
    ]  # fmt: skip
    settled = next((i for i, share in enumerate(layers["agreement"]) if share >= 0.5), len(rows) - 1)
    text = (
        f"# Logit lens of {name}\n\nOver {len(lenses)} text(s), {sum(len(x.tokens) for x in lenses)} tokens. "
        f"Half of the final tokens lead from layer {_layer(settled)} of {len(rows) - 1} on.\n\n"
        + _table(
            (
                "after layer",
                "probability of the final token",
                "median rank",
                "it leads",
                "KL to the end, nats",
                "median rank of the next token",
            ),
            rows,
        )
    )
    return text, {"layers": layers, "texts": [{"tokens": x.tokens, "said": x.said, "rank": x.rank.tolist()} for x in lenses]}


def probe_page(name: str, probed: Sequence[Probed], common: float, untrained: Sequence[Probed]) -> tuple[str, dict[str, object]]:
    """The page and the values of the probes."""
    best = max(probed, key=lambda p: p.selectivity.mean)
    rows = [
        (
            _layer(p.layer),
            str(p.accuracy),
            f"{p.control:.3f}",
            str(p.selectivity),
            *((f"{untrained[i].accuracy.mean:.3f}",) if untrained else ()),
        )
        for i, p in enumerate(probed)
    ]
    head = ("layer", "accuracy", "shuffled labels", "selectivity", *(("untrained weights",) if untrained else ()))
    text = (
        f"# Linear probes of {name}\n\n{probed[0].accuracy.n} texts, 5 folds; always saying the commonest label is right in {common:.3f}. "
        f"Most selective: layer {_layer(best.layer)}, {best.selectivity}.\n\n" + _table(head, rows)
    )
    plain = [{"layer": p.layer, "accuracy": _plain(p.accuracy), "control": p.control, "selectivity": _plain(p.selectivity)} for p in probed]
    return text, {"commonest": common, "layers": plain, "untrained": [_plain(p.accuracy) for p in untrained]}


def ablation_page(name: str, found: Ablations) -> tuple[str, dict[str, object]]:
    """The page and the values of the ablations."""
    sure = sum(e.rise.low > 0 for e in found.effects if e.part.kind == "head")
    heads = sum(e.part.kind == "head" for e in found.effects)
    parts: list[str] = [
        f"# Ablation of {name}\n\nLoss of the whole model {found.base:.4f} nats a token; a silenced part is filled with {found.fill}. "
        f"{sure} of {heads} heads are missed (their interval lies above 0).\n"
    ]
    for kind, title in (
        ("head", "Heads that are missed most"),
        ("neuron", "Neurons that are missed most"),
        ("attention", "Attention"),
        ("mlp", "MLP"),
    ):
        chosen = sorted((e for e in found.effects if e.part.kind == kind), key=lambda e: -e.rise.mean)
        if chosen:
            rows = [(f"{e.part.layer + 1}", f"{e.part.index}" if kind in ("head", "neuron") else "", _gap(e)) for e in chosen[:TOP]]
            parts.append(f"## {title}\n\n" + _table(("layer", "index", "loss rise, 95 % interval"), rows))
    plain = [{**asdict(e.part), "rise": _plain(e.rise), "estimate": e.estimate} for e in found.effects]
    return "\n".join(parts), {"base": found.base, "fill": found.fill, "effects": plain}


def profile_page(name: str, profiled: Profiled) -> tuple[str, dict[str, object]]:
    """The page and the values of a profile."""
    rows = [
        (f"`{op.name}`", str(op.calls), f"{op.self_ms:.1f}", f"{op.share:.1%}", f"{op.memory_mb:,.1f}")
        for op in profiled.operators[: 2 * TOP]
    ]
    what = "training step" if profiled.trained else "forward pass"
    text = (
        f"# Profile of {name}\n\nOne {what} of {profiled.tokens} tokens takes {1e3 * profiled.seconds:.1f} ms without the profiler "
        f"({profiled.tokens / profiled.seconds:,.0f} tokens/s). `{profiled.trace.name}` opens in chrome://tracing or ui.perfetto.dev.\n\n"
        + _table(("operator", "calls", "own ms, all steps", "share", "own memory, MiB"), rows)
    )
    return text, {"seconds": profiled.seconds, "tokens": profiled.tokens, "operators": [asdict(op) for op in profiled.operators]}


def write(folder: Path, page: str, figure: str, plain: dict[str, object]) -> None:
    """README.md (with the plot in it) and figures.json."""
    folder.mkdir(parents=True, exist_ok=True)
    title, _, rest = page.partition("\n")
    (folder / "README.md").write_text(f"{title}\n\n![{title.removeprefix('# ')}]({figure})\n{rest}", encoding="utf-8")
    (folder / "figures.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(head), "|".join("---" for _ in head), *(" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows)]
    return "\n".join(f"| {line} |" if "---" not in line else f"|{line}|" for line in lines) + "\n"


def _gap(effect: Effect) -> str:
    return f"{effect.rise.mean:+.4f} [{effect.rise.low:+.4f}, {effect.rise.high:+.4f}]"


def _plain(figure: Figure) -> list[float]:
    return [figure.mean, figure.low, figure.high]


def _layer(index: int) -> str:
    return str(index) if index else "embedding"
