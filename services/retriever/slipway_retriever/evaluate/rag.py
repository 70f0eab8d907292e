"""`python -m slipway_retriever.evaluate.rag FOLDER --url http://127.0.0.1:8080/v1 --key KEY`: questions through the whole platform, by its public API.

FOLDER is BEIR-style and holds answers.jsonl ({"_id": query, "answers": [...]}). Every document becomes a file of a new store; each question is searched for and
asked there, and asked once more of a second store that lacks every document that answers: whoever still answers makes it up. It refuses to know a service's inside.
"""

import argparse
import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from slipway_retriever.evaluate import answers, beir, rag_report
from slipway_retriever.evaluate.answers import Asked
from slipway_retriever.evaluate.beir import Doc, TestSet


@dataclass(frozen=True, slots=True)
class Platform:
    """The API by its base URL and a key. `budget_ms` bounds a question (x-slipway-deadline-ms is the gateway's own; ours is the client's patience)."""

    url: str
    key: str
    model: str | None
    seconds: float

    def call(self, method: str, path: str, body: Any = None, *, raw: tuple[bytes, str] | None = None) -> dict[str, Any]:
        """The answer as JSON; raises SystemExit with the platform's own message."""
        data, kind = raw or (None if body is None else json.dumps(body).encode(), "application/json")
        headers = {"authorization": f"Bearer {self.key}", "content-type": kind}
        request = urllib.request.Request(f"{self.url.rstrip('/')}{path}", data=data, headers=headers, method=method)  # noqa: S310
        for attempt in range(6):
            try:
                with urllib.request.urlopen(request, timeout=self.seconds) as answer:  # noqa: S310 the address is the operator's own
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or attempt == 5:
                    raise SystemExit(f"{method} {path}: {error.code} {error.read()[:300].decode(errors='replace')}") from error
                time.sleep(min(30.0, float(error.headers.get("retry-after") or 1)))
        raise AssertionError("unreachable")

    def upload(self, name: str, text: str) -> str:
        """The id of the new file."""
        edge = "slipway-evaluation-edge"
        parts = f'--{edge}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        parts += f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--{edge}--\r\n'
        return str(self.call("POST", "/files", raw=(parts.encode(), f"multipart/form-data; boundary={edge}"))["id"])

    def ask(self, query: str, store: str, k: int) -> tuple[dict[str, Any], float]:
        """The message of a grounded chat, and how many milliseconds it took."""
        body: dict[str, Any] = {"messages": [{"role": "user", "content": query}], "temperature": 0, "max_tokens": 64}
        body |= {
            "retrieval": {"vector_store_ids": [store], "top_k": k},
            "model": self.model or self.call("GET", "/models")["data"][0]["id"],
        }
        started = time.perf_counter()
        message = self.call("POST", "/chat/completions", body)["choices"][0]["message"]
        return message, 1000 * (time.perf_counter() - started)

    def found(self, query: str, store: str, k: int) -> list[str]:
        """The files of the first `k` results."""
        hits = self.call("POST", f"/vector_stores/{store}/search", {"query": query, "max_num_results": k})["data"]
        return [hit["file_id"] for hit in hits]


def main(argv: Sequence[str] | None = None) -> int:
    """Ingest, ask, report."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.evaluate.rag", description=(main.__doc__ or "").strip())
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8080/v1")
    parser.add_argument(
        "--key", default=os.environ.get("SLIPWAY_KEY", ""), help="an API key (or SLIPWAY_KEY; `make up` writes .slipway/key)"
    )
    parser.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="NAME=URL",
        help="another gateway before the same retriever, with other thresholds: compared",
    )
    parser.add_argument("--model", help="default: the first of /v1/models")
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--documents", type=int, default=300, help="at most so many, those that answer first")
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--budget-seconds", type=float, default=60.0, help="a call that takes longer ends the run")
    parser.add_argument("--out", type=Path, default=Path(".slipway/eval-rag"))
    wanted = parser.parse_args(argv)
    addresses = {"as it is": wanted.url, **dict(point.split("=", 1) for point in wanted.point)}
    platforms = {name: Platform(url, wanted.key, wanted.model, wanted.budget_seconds) for name, url in addresses.items()}
    test = beir.read(wanted.folder, max_queries=wanted.queries)
    asked = run(platforms, test, beir.answers(wanted.folder), wanted.documents, wanted.top_k)
    rag_report.write(wanted.out, f"Answers through the API: {test.name}, k = {wanted.top_k}", asked)
    rows = [json.dumps({"point": name, **_row(one)}) + "\n" for name, some in asked.items() for one in some]
    (wanted.out / "asked.jsonl").write_text("".join(rows), encoding="utf-8")
    sys.stdout.write(f"{(wanted.out / 'report.md').read_text(encoding='utf-8')}\nreport: {wanted.out / 'report.html'}\n")
    return 0


def run(platforms: dict[str, Platform], test: TestSet, truths: dict[str, list[str]], documents: int, k: int) -> dict[str, list[Asked]]:
    """Every question that has an answer on record, put to every platform in turn; all of them search the stores of the first."""
    right = {doc for held in test.relevant.values() for doc in held}
    chosen = sorted(test.corpus, key=lambda doc: doc.id not in right)[: max(documents, len(right))]
    first = next(iter(platforms.values()))
    asked: dict[str, list[Asked]] = {name: [] for name in platforms}
    with store(first, chosen) as (whole, files), store(first, [doc for doc in chosen if doc.id not in right]) as (without, _):
        queries = [query for query in test.queries if query in truths]
        for query in tqdm(queries, "asking", unit="questions"):
            holding = {files[doc] for doc in test.relevant[query] if doc in files}
            for name, platform in platforms.items():
                asked[name].append(_asked(platform, test.queries[query], truths[query], holding, (whole, without), k))
    return asked


@contextlib.contextmanager
def store(platform: Platform, docs: Sequence[Doc]) -> Generator[tuple[str, dict[str, str]]]:
    """A store of `docs`, one file each, with the file of each; both go when the block ends."""
    store_id = str(platform.call("POST", "/vector_stores", {"name": "evaluation"})["id"])
    files = {
        doc.id: platform.upload(f"{doc.id}.md", f"# {doc.title}\n\n{doc.text}" if doc.title else doc.text)
        for doc in tqdm(docs, "uploading")
    }
    try:
        for file in files.values():
            platform.call("POST", f"/vector_stores/{store_id}/files", {"file_id": file})
        while platform.call("GET", f"/vector_stores/{store_id}")["file_counts"]["in_progress"]:
            time.sleep(0.5)
        yield store_id, files
    finally:
        platform.call("DELETE", f"/vector_stores/{store_id}")


def _asked(platform: Platform, query: str, truths: Sequence[str], right: Collection[str], stores: tuple[str, str], k: int) -> Asked:
    whole, without = stores
    message, milliseconds = platform.ask(query, whole, k)
    miss, _ = platform.ask(query, without, k)
    text, notes = message["content"] or "", message.get("annotations") or []
    cited = [note["file_id"] for note in notes if note["type"] == "file_citation"]
    return Asked(
        query=query,
        rank=next((rank for rank, file in enumerate(platform.found(query, whole, k), start=1) if file in right), None),
        abstained=_has(message, "abstention"),
        exact=answers.exact(text, truths),
        f1=answers.f1(text, truths),
        cited_right=sum(file in right for file in cited) / len(cited) if cited else None,
        milliseconds=milliseconds,
        miss_answered=not _has(miss, "abstention"),
        miss_quoted=_has(miss, "fallback"),
    )


def _has(message: dict[str, Any], kind: str) -> bool:
    return any(note["type"] == kind for note in message.get("annotations") or [])


def _row(one: Asked) -> dict[str, Any]:
    names = ("rank", "abstained", "exact", "f1", "cited_right", "milliseconds", "miss_answered", "miss_quoted")
    return {name: getattr(one, name) for name in names} | {"query": one.query, "slice": one.slice}


if __name__ == "__main__":
    sys.exit(main())
