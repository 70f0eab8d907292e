"""Files and folders into a vector store, through the public API, as often as one likes: what is there unchanged is left, what changed is replaced.

It knows which kinds of files are worth sending and how to wait for them. It refuses to parse them: the retriever does.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from slipway_shared.contracts import DEFAULT_STORE, DEFAULT_STORE_ID

from slipway_cli.api import Api, ApiError

SUFFIXES = frozenset({".md", ".markdown", ".txt", ".rst", ".html", ".htm", ".pdf", ".docx", ".csv", ".json", ".jsonl"})
MAX_FILES = 20_000
POLL_SECONDS = 0.2
Result = Literal["added", "replaced", "unchanged", "failed"]


class Progress(Protocol):
    """Who wants to know how far it is."""

    def begin(self, files: int) -> None: ...

    def advance(self, file: str) -> None: ...


@dataclass
class Report:
    """What became of each file; `failures` maps its name to the reason, in the words of the service."""

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    failures: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Source:
    """One file to ingest. `name` is how citations will call it: its path below the folder that was named."""

    path: Path
    name: str


@dataclass(frozen=True)
class Known:
    """A file that the store holds already."""

    file_id: str
    sha256: str
    status: str


def find(paths: Iterable[Path]) -> Iterator[Source]:
    """The files at `paths`: named files as they are, folders with every file below them of a known kind. Hidden ones are left out, links not followed."""
    for path in paths:
        if path.is_file():
            yield Source(path, path.name)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                file = Path(folder) / name
                if not name.startswith(".") and file.suffix.lower() in SUFFIXES and not file.is_symlink():
                    yield Source(file, str(file.relative_to(path)))


def ingest(api: Api, sources: list[Source], store: str, progress: Progress) -> Report:
    """Bring `sources` into the store named `store` (made if there is none) and wait until each can be searched or has failed. Raises ApiError."""
    store_id = find_store(api, store)
    known = _known(api, store_id)
    report = Report()
    progress.begin(len(sources))
    waiting: list[tuple[Source, str, Known | None]] = []
    for source in sources:
        try:
            digest = _digest(source.path)
            before = known.get(source.name)
            if before is not None and before.sha256 == digest and before.status == "completed":
                report.unchanged += 1
                progress.advance(source.name)
                continue
            waiting.append((source, _send(api, store_id, source, digest), before))
        except (ApiError, OSError) as error:
            report.failures[source.name] = str(error)
            progress.advance(source.name)
    for source, file_id, before in waiting:
        _settle(api, store_id, source, file_id, before, report)
        progress.advance(source.name)
    return report


def find_store(api: Api, name: str) -> str:
    """The id of the store called `name` (or with that id); made if there is none."""
    if name in (DEFAULT_STORE, DEFAULT_STORE_ID):
        return DEFAULT_STORE_ID
    for store in api.pages("/v1/vector_stores"):
        if name in (store["id"], store["name"]):
            return store["id"]
    return api.call("POST", "/v1/vector_stores", json={"name": name})["id"]


def _known(api: Api, store_id: str) -> dict[str, Known]:
    out: dict[str, Known] = {}
    for entry in api.pages(f"/v1/vector_stores/{store_id}/files"):
        attributes: dict[str, Any] = entry.get("attributes") or {}
        if "source" in attributes:
            out[str(attributes["source"])] = Known(entry["id"], str(attributes.get("sha256", "")), entry["status"])
    return out


def _send(api: Api, store_id: str, source: Source, digest: str) -> str:
    with source.path.open("rb") as handle:
        stored = api.call("POST", "/v1/files", data={"purpose": "assistants"}, files={"file": (source.name, handle)})
    body = {"file_id": stored["id"], "attributes": {"source": source.name, "sha256": digest}}
    api.call("POST", f"/v1/vector_stores/{store_id}/files", json=body)
    return stored["id"]


def _settle(api: Api, store_id: str, source: Source, file_id: str, before: Known | None, report: Report) -> None:
    try:
        error = _wait(api, store_id, file_id)
        if error:
            report.failures[source.name] = error
        elif before is not None and before.file_id != file_id:
            # The old text leaves only after the new one can be found, so a search in between finds one of them.
            api.call("DELETE", f"/v1/files/{before.file_id}")
            report.replaced += 1
        else:
            report.added += 1
    except ApiError as problem:
        report.failures[source.name] = str(problem)


def _wait(api: Api, store_id: str, file_id: str) -> str:
    """Until the file can be searched: the empty string; else why it cannot."""
    while True:
        entry = api.call("GET", f"/v1/vector_stores/{store_id}/files/{file_id}")
        if entry["status"] == "completed":
            return ""
        if entry["status"] != "in_progress":
            return str((entry.get("last_error") or {}).get("message", entry["status"]))
        time.sleep(POLL_SECONDS)


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
