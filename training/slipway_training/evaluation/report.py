"""One evaluation from flavor to table: verify, open, answer every item, score, and put the baseline beside it.

It knows the order of work and the table. Sets, scores and readers live beside it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from slipway_shared.manifest import VerifiedModel, load_verified, read_manifest

from slipway_training.errors import ConfigError, DataMissing
from slipway_training.evaluation.baseline import Overlap
from slipway_training.evaluation.pointers import PointerReader
from slipway_training.evaluation.readers import ModelReader, Reader, open_flavor
from slipway_training.evaluation.scores import Figure, Item, exact, f1, paired, score
from slipway_training.evaluation.sets import answers, build_set
from slipway_training.export.release import write_figures
from slipway_training.sources.provenance import data_dir
from slipway_training.tokenizer import load_tokenizer

SETS = ("squad_sample_validation", "factbook_held_out", "lookup_unseen")
TOKENIZER_HOMES = ("tokenizer.json", "../int4-onnx/tokenizer.json", "../tokenizer.json")


def evaluate(
    flavor: Path, tokenizer: Path | None, sets: Sequence[str], limit: int, data: str, console: Console, *, write: bool, report: Path | None
) -> dict[str, dict[str, dict[str, Figure]]]:
    """Figures by set, then by reader (`reader`, `extractive`, `difference`); raises TrainingError or ManifestError."""
    verified, reader = _open(flavor, tokenizer)
    root = _root(data)
    out: dict[str, dict[str, dict[str, Figure]]] = {}
    for name in sets or (SETS if root else SETS[-1:]):
        items = build_set(name, root)
        items = items[:limit] if limit else items
        out[name] = compare(items, {"reader": reader, "extractive": Overlap()}, console)
        console.print(table(f"{verified.manifest.id} on {name}, {len(items)} items", out[name]))
    if report is not None:
        report.write_text(json.dumps(_plain(out), indent=1), encoding="utf-8")
    if write:
        done: VerifiedModel = write_figures(flavor, figures_for_manifest(out))
        console.print(f"manifest rewritten: {done.digest}")
    return out


def _open(flavor: Path, tokenizer: Path | None) -> tuple[VerifiedModel, Reader]:
    """The flavor behind the one verb that is measured, whatever runs it."""
    if read_manifest(flavor)[0].engine == "pointer":
        verified = load_verified(flavor)
        return verified, PointerReader(verified.folder)
    verified, model = open_flavor(flavor)
    return verified, ModelReader(model, load_tokenizer(tokenizer or _tokenizer_of(flavor)), verified.manifest.context_tokens)


def compare(items: Sequence[Item], readers: Mapping[str, Reader], console: Console) -> dict[str, dict[str, Figure]]:
    """Figures of every reader on the same items, and the paired difference of the first two on the answerable ones."""
    replies: dict[str, list[str]] = {}
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        for name, reader in readers.items():
            task = progress.add_task(name, total=len(items))
            replies[name] = answers(list(items), reader.answer, lambda task=task: progress.advance(task))
    out = {name: score(items, replies[name]) for name in readers}
    first, second = (replies[name] for name in list(readers)[:2])
    asked = [(i, a, b) for i, a, b in zip(items, first, second, strict=True) if i.number]
    out["difference"] = {
        "em": paired([exact(a, i.answers) for i, a, _ in asked], [exact(b, i.answers) for i, _, b in asked]),
        "f1": paired([f1(a, i.answers) for i, a, _ in asked], [f1(b, i.answers) for i, _, b in asked]),
    }
    return out


def table(title: str, figures: Mapping[str, Mapping[str, Figure]]) -> Table:
    """One row per figure, one column per reader."""
    shown = Table("figure", *figures, title=title, title_justify="left")
    for name in next(iter(figures.values())):
        shown.add_row(name, *(str(figures[reader][name]) if name in figures[reader] else "" for reader in figures))
    return shown


def figures_for_manifest(results: Mapping[str, Mapping[str, Mapping[str, Figure]]]) -> dict[str, float]:
    """`f1@squad_sample_validation` and so on; the baseline's F1 stands beside it as `extractive_f1@...`."""
    out: dict[str, float] = {}
    for set_name, by_reader in results.items():
        for name, figure in by_reader["reader"].items():
            if figure.n:
                out[f"{name}@{set_name}"] = round(figure.mean, 4)
        out[f"extractive_f1@{set_name}"] = round(by_reader["extractive"]["f1"].mean, 4)
    return out


def _plain(results: Mapping[str, Mapping[str, Mapping[str, Figure]]]) -> dict[str, object]:
    return {
        s: {r: {k: [round(v.mean, 4), round(v.low, 4), round(v.high, 4), v.n] for k, v in figures.items()} for r, figures in by.items()}
        for s, by in results.items()
    }


def _root(data: str) -> Path | None:
    try:
        return data_dir(data)
    except DataMissing:
        if data:
            raise
        return None


def _tokenizer_of(flavor: Path) -> Path:
    for home in TOKENIZER_HOMES:
        if (flavor / home).is_file():
            return flavor / home
    raise ConfigError(f"no tokenizer.json in or beside {flavor}; name one with --tokenizer")
