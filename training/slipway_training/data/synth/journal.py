"""What a generator has already done: one line for each prompt, the rows that were taken, and a record of where they come from.

It knows files. A line that a kill cut short is dropped on opening, so that a run goes on at the first prompt that is not written down. It refuses to know why.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, cast

from slipway_training.errors import ConfigError
from slipway_training.vocab.lock import digest

ROWS, JOURNAL, PROVENANCE = "rows.jsonl", "journal.jsonl", "provenance.json"


class Journal:
    """Append-only: `done` has the outcome of every finished prompt by its id ("kept" or a reason)."""

    def __init__(self, folder: Path, made_from: str) -> None:
        """Opens or begins it; raises ConfigError when the folder belongs to another configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.rows: list[dict[str, Any]] = _whole_lines(folder / ROWS)
        lines = _whole_lines(folder / JOURNAL)
        if lines and lines[0].get("made_from") != made_from:
            raise ConfigError(f"{folder} holds rows of another configuration; choose another `out` or remove it")
        self.done: dict[str, str] = {line["id"]: line["outcome"] for line in lines[1:]}
        self.tokens = sum(int(line["tokens"]) for line in lines[1:])
        # A row whose prompt was not written down would be asked for again, and then stand there twice.
        kept = [r for r in self.rows if self.done.get(r["id"]) == "kept"]
        if len(kept) != len(self.rows):
            self.rows = kept
            (folder / ROWS).write_text("".join(_line(r) for r in kept), encoding="utf-8")
        self._rows = (folder / ROWS).open("a", encoding="utf-8")
        self._journal = (folder / JOURNAL).open("a", encoding="utf-8")
        if not lines:
            self._write_journal({"made_from": made_from})

    def finish(self, number: str, outcome: str, tokens: int, row: dict[str, Any] | None) -> None:
        """One prompt is done; its row is on disk before the prompt is written down."""
        if row is not None:
            self._rows.write(_line(row))
            self._rows.flush()
            self.rows.append(row)
        self.done[number] = outcome
        self.tokens += tokens
        self._write_journal({"id": number, "outcome": outcome, "tokens": tokens})

    def close(self, **provenance: object) -> None:
        """Write the provenance with counts and the digest of the rows."""
        self._rows.close()
        self._journal.close()
        outcomes = dict(sorted(Counter(self.done.values()).items()))
        record = {
            **provenance,
            "outcomes": outcomes,
            "teacher_tokens": self.tokens,
            "rows": len(self.rows),
            "rows_sha256": digest(self.folder / ROWS),
        }
        (self.folder / PROVENANCE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _write_journal(self, line: dict[str, Any]) -> None:
        self._journal.write(_line(line))
        self._journal.flush()


def prompt_id(number: int, text: str) -> str:
    """Of a prompt by its place and text: the same list gives the same ids."""
    return f"{number:07d}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file, which is cut after the last whole one."""
    if not path.is_file():
        return []
    raw = path.read_bytes()
    end = raw.rfind(b"\n") + 1
    if end < len(raw):
        with path.open("r+b") as handle:
            handle.truncate(end)
    return [cast("dict[str, Any]", json.loads(line)) for line in raw[:end].splitlines()]
