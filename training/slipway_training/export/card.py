"""The model card: figures, data, commands and weaknesses of one exported reader, from files that the steps before left behind.

It knows Markdown and the run's folder. It refuses to invent: a figure that was not measured is not in the card.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_shared.manifest import VerifiedModel

from slipway_training.config import ReaderConfig
from slipway_training.model import parameter_count
from slipway_training.sources.provenance import Provenance

Figures = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]
"""set -> reader -> figure -> (mean, low, high, n), as `evaluate reader --report` writes them."""

USE = """## Intended use

The shipped default of a fresh machine: answering short questions about passages that a retriever found, by quoting them. Input is the numbered
passages as the system message and the question as the user message; output is `quotation [n]` or the sentence that means "not held". It is not a
general chat model: it has seen no dialogue, no instructions and almost no world text, and nothing that it says without passages means anything.
"""
WEAK = """## Weaknesses

- It finds badly: most errors are a quotation of the wrong place, a broken quotation, or a wrong passage number (see `grounded` and `citation`).
  The platform holds every reply against the passages and falls back to the extractive answer, and so should any other user.
- English only. Questions that share no rare word with their passage are mostly missed. No arithmetic, no yes/no, no joining of two passages.
- Literal figures (ports, paths, commands) are copied token by token; a rare name of many pieces can be cut short.
- It was trained on invented documentation, country profiles, textbook prose and a few hundred encyclopaedia questions, and inherits their biases.
"""


def write_card(run: Path, flavors: Sequence[VerifiedModel], evaluation: Mapping[str, Figures], path: Path) -> None:
    """Write the card. `evaluation` is by flavor; `run` holds config.json, report.json and data/prepared.json (and so does each run before it)."""
    runs = chain(run)
    config = ReaderConfig.model_validate_json((run / "config.json").read_text(encoding="utf-8"))
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    notes = json.loads((run / "data" / "prepared.json").read_text(encoding="utf-8"))["provenance"]
    tokens = [_tokens(r) for r in runs]
    parts = [
        f"# {config.name}\n\nA reader of {parameter_count(config.model):,} parameters (Llama, {config.model.layers} layers, width "
        f"{config.model.width}, {config.model.vocab_size} byte-level BPE tokens with single digits, context {config.model.context_tokens}) that quotes "
        f"the answer from numbered passages. Trained on {sum(tokens):,} tokens on one thread of a shared CPU. License of the weights: Apache-2.0; see "
        "the data below.\n",
        *(verdict(name, figures) for name, figures in evaluation.items()),
        _flavor_table(flavors, report["parity"]),
        *(figure_table(name, figures) for name, figures in evaluation.items()),
        USE,
        WEAK,
        data_table([Provenance.model_validate(n) for n in notes]),
        _commands(len(runs)),
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def chain(run: Path) -> list[Path]:
    """`run` and the runs that it started from, the first one first."""
    before = ReaderConfig.model_validate_json((run / "config.json").read_text(encoding="utf-8")).run.init_from
    return [*chain(Path(before)), run] if before else [run]


def _tokens(run: Path) -> int:
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return int(json.loads((newest / "cursor.json").read_text(encoding="utf-8"))["tokens"])


def _flavor_table(flavors: Sequence[VerifiedModel], parity: Mapping[str, Mapping[str, float]]) -> str:
    lines = [
        "## Flavors\n\nParity with the fp32 parent over the same prompts: mean KL in nats, share of equal next tokens, share of equal greedy replies.\n",
        "| flavor | engine | devices | bytes | max logit error | KL | next | greedy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for verified in flavors:
        m, p = verified.manifest, parity[verified.manifest.flavor]
        size = sum(f.bytes for f in m.files)
        lines.append(
            f"| {m.flavor} | {m.engine} | {', '.join(m.device_classes)} | {size:,} | {p['max_logit_error']:.2f} | {p['kl']:.4f} "
            f"| {p['same_next']:.3f} | {p['same_greedy']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def figure_table(flavor: str, figures: Figures) -> str:
    """Every figure of one flavor beside the baseline's."""
    lines = [
        f"## Figures of {flavor}\n\nGreedy replies; mean and bootstrap 95 % interval. `extractive` is the sentence with the best word overlap, on the same "
        "inputs. Four passages an item; half of the SQuAD items and a fifth of the others have no answer in them. An abstention on an answerable "
        "item counts as 0. The countries and contexts were not trained on; `lookup_unseen` is new text of a maker that was.\n",
        "| set | figure | reader | extractive | n |",
        "|---|---|---|---|---|",
    ]
    for name, by_reader in figures.items():
        for figure, (mean, low, high, n) in ((k, v) for k, v in by_reader["reader"].items()):
            base = by_reader["extractive"][figure]
            lines.append(
                f"| {name} | {figure} | {mean:.3f} [{low:.3f}, {high:.3f}] | {base[0]:.3f} [{base[1]:.3f}, {base[2]:.3f}] | {n:.0f} |"
            )
        f1 = by_reader["difference"]["f1"]
        lines.append(f"| {name} | f1 difference | {f1[0]:+.3f} [{f1[1]:+.3f}, {f1[2]:+.3f}] | | {f1[3]:.0f} |")
    return "\n".join(lines) + "\n"


def verdict(flavor: str, figures: Figures) -> str:
    """Where the F1 stands beside the baseline's, in one sentence, from the paired intervals alone."""
    words: list[str] = []
    for name, by_reader in figures.items():
        mean, low, high, _ = by_reader["difference"]["f1"]
        place = "below" if high < 0 else "above" if low > 0 else "not told apart from"
        words.append(f"{place} the extractive baseline on {name} ({mean:+.3f})")
    return f"**{flavor}, F1 of the answers:** {'; '.join(words)}.\n"


def data_table(notes: Sequence[Provenance]) -> str:
    """Every source with version, licence and attribution."""
    lines = ["## Data\n", "| folder | source, version | licence | attribution |", "|---|---|---|---|"]
    for note in notes:
        version = f" at {note.commit}" if note.commit else ""
        lines.append(f"| {note.folder or note.name} | {note.repository}{version} | {note.licence} | {note.attribution} |")
    return (
        "\n".join(lines)
        + "\n\nQuestions over the factbook, the textbooks and the invented pages were generated by templates in this repository; the "
        "SQuAD questions are human. SQuAD is share-alike: whoever passes on text out of it keeps CC BY-SA 4.0. No evaluation split was trained on; "
        "one country in ten is held out by a hash of its file name.\n"
    )


def _commands(legs: int) -> str:
    second = "python -m slipway_training train reader --config training/recipes/reader/config.more.yaml run.init_from=runs/reader run.out=runs/reader-more\n"
    last = "runs/reader-more" if legs > 1 else "runs/reader"
    return (
        "## Commands\n\n```\nexport SLIPWAY_DATA_DIR=...   # the folder with factbook, squad_sample and openstax_text\n"
        f"python -m slipway_training train reader run.out=runs/reader\n{second if legs > 1 else ''}"
        f"python -m slipway_training export reader {last} --to models/slipway-reader-llama\n"
        "python -m slipway_training evaluate reader --flavor models/slipway-reader-llama/int8 --report eval-int8.json --write\n"
        f"python -m slipway_training export card {last} --to models/slipway-reader-llama --eval int8=eval-int8.json\n```\n"
    )
