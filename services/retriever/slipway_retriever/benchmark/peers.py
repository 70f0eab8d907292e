"""What users would pick otherwise, with the same weights or the same shape: sentence-transformers in this process, infinity in one of its own."""

import importlib
import importlib.util
import itertools
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway_retriever.benchmark.rounds import Contender

SCRIPT = Path(__file__).with_name("peer_infinity.py")


def sentence_transformers() -> Any:
    """The module with torch at one thread, or None where it is not installed."""
    if not importlib.util.find_spec("sentence_transformers"):
        return None
    importlib.import_module("torch").set_num_threads(1)
    return importlib.import_module("sentence_transformers")


def sentence_encoder(weights: Path, texts: list[str]) -> Contender | None:
    """SentenceTransformer.encode in fp32."""
    library = sentence_transformers()
    if library is None:
        return None
    model = library.SentenceTransformer(str(weights), device="cpu")
    return Contender(lambda: len(model.encode(texts, batch_size=len(texts), show_progress_bar=False)))


def cross_encoder(folder: Path, lists: Sequence[tuple[str, Sequence[str]]]) -> Contender | None:
    """CrossEncoder.predict in fp32 over the lists in turn."""
    library = sentence_transformers()
    if library is None:
        return None
    model = library.CrossEncoder(str(folder), device="cpu", max_length=192)
    turn = itertools.cycle([[(query, text) for text in documents] for query, documents in lists])

    def work() -> int:
        pairs = next(turn)
        return len(model.predict(pairs, batch_size=len(pairs), show_progress_bar=False))

    return Contender(work)


def make_cross_encoder(base: Path, folder: Path) -> Path:
    """A sequence classifier of the base's shape, for speed alone: its head is untrained."""
    transformers: Any = importlib.import_module("transformers")
    transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=1).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


class Infinity:
    """infinity-emb in the environment `venv`; its answers carry the processor time of its own process."""

    def __init__(self, venv: Path, weights: Path, cross_encoder: Path) -> None:
        command = [str(venv / "bin" / "python"), str(SCRIPT), str(weights), str(cross_encoder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._used = 0.0

    def contender(self, *requests: dict[str, Any]) -> Contender:
        """The requests in turn."""
        lines = itertools.cycle([json.dumps(request) + "\n" for request in requests])
        return Contender(lambda: self._ask(next(lines)), lambda: self._used)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _ask(self, line: str) -> int:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(line)
        stdin.flush()
        while True:
            answer = stdout.readline()
            if not answer:
                raise SystemExit("infinity ended; run peer_infinity.py by hand in its environment to see why")
            if answer.startswith('{"items"'):
                break
        found = json.loads(answer)
        self._used += found["cpu"]
        return int(found["items"])
