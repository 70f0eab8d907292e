"""A running platform by its public API: stores of documents, searches, grounded questions. It refuses to know a service's inside, and what is made of answers."""

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from slipway_retriever.evaluate.beir import Doc

ATTEMPTS = 6
REFUSED = "content_policy_violation"


class Refused(Exception):
    """The platform's safety policy does not take the question; the message is the platform's own."""


@dataclass(frozen=True, slots=True)
class Platform:
    """The API by its base URL and a key. `seconds` is the client's patience with one call."""

    url: str
    key: str
    model: str
    seconds: float

    def call(self, method: str, path: str, body: Any = None, *, raw: tuple[bytes, str] | None = None) -> dict[str, Any]:
        """The answer as JSON; raises Refused, and SystemExit with the platform's own message for any other error."""
        data, kind = raw or (None if body is None else json.dumps(body).encode(), "application/json")
        headers = {"authorization": f"Bearer {self.key}", "content-type": kind}
        request = urllib.request.Request(f"{self.url.rstrip('/')}{path}", data=data, headers=headers, method=method)  # noqa: S310
        for attempt in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(request, timeout=self.seconds) as answer:  # noqa: S310 the address is the operator's own
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or attempt == ATTEMPTS - 1:
                    told = error.read()[:300].decode(errors="replace")
                    raise (Refused(told) if REFUSED in told else SystemExit(f"{method} {path}: {error.code} {told}")) from error
                time.sleep(min(30.0, float(error.headers.get("retry-after") or 1)))
            except urllib.error.URLError as error:
                raise SystemExit(f"{method} {self.url}{path}: {error.reason}; is the platform up? (--url)") from error
        raise AssertionError("unreachable")

    def upload(self, name: str, text: str) -> str:
        """The id of the new file."""
        edge = "slipway-evaluation-edge"
        parts = f'--{edge}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        parts += f'--{edge}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--{edge}--\r\n'
        return str(self.call("POST", "/files", raw=(parts.encode(), f"multipart/form-data; boundary={edge}"))["id"])

    def ask(self, query: str, store: str, k: int, least: float | None = None) -> tuple[dict[str, Any], float]:
        """The message of a grounded chat, and how many milliseconds it took. `least` stands in for the gateway's own least evidence.

        A question that the safety policy refuses gets a message with a note of the type "safety", as a refused answer does.
        """
        retrieval: dict[str, Any] = {"vector_store_ids": [store], "top_k": k} | ({} if least is None else {"min_score": least})
        messages = [{"role": "user", "content": query}]
        body = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 64, "retrieval": retrieval}
        started = time.perf_counter()
        try:
            message = self.call("POST", "/chat/completions", body)["choices"][0]["message"]
        except Refused as error:
            message = {"content": None, "annotations": [{"type": "safety", "reason": str(error)}]}
        return message, 1000 * (time.perf_counter() - started)

    def evidence(self, query: str, store: str, k: int) -> float:
        """How likely the platform takes an answer to be there: asked with a least evidence that nothing reaches, it says how much there is, and asks no model."""
        message, _ = self.ask(query, store, k, 1.0)
        if noted(message, "safety"):
            return 0.0
        return next((float(note.get("evidence", 1.0)) for note in noted(message, "abstention")), 1.0)

    def found(self, query: str, store: str, k: int) -> list[str]:
        """The files of the first `k` results."""
        hits = self.call("POST", f"/vector_stores/{store}/search", {"query": query, "max_num_results": k})["data"]
        return [hit["file_id"] for hit in hits]


def answered(message: dict[str, Any]) -> bool:
    """Neither an abstention nor a refusal."""
    return not noted(message, "abstention") and not noted(message, "safety")


def noted(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The annotations of that kind."""
    return [note for note in message.get("annotations") or [] if note["type"] == kind]


def first_model(url: str, key: str, seconds: float) -> str:
    """The first of /v1/models."""
    return str(Platform(url, key, "", seconds).call("GET", "/models")["data"][0]["id"])


@contextlib.contextmanager
def stores(platform: Platform, docs: Sequence[Doc], right: Collection[str]) -> Generator[tuple[str, str, dict[str, str]]]:
    """A store of `docs`, one file each, another without those in `right`, and the file of each; all of it goes when the block ends."""
    made: list[str] = []
    files: dict[str, str] = {}
    try:
        for some in (docs, [doc for doc in docs if doc.id not in right]):
            made.append(str(platform.call("POST", "/vector_stores", {"name": "evaluation"})["id"]))
            _fill(platform, made[-1], some, files)
        yield made[0], made[1], files
    finally:
        for store in made:
            platform.call("DELETE", f"/vector_stores/{store}")
        for file in set(files.values()):
            platform.call("DELETE", f"/files/{file}")


def _fill(platform: Platform, store: str, docs: Sequence[Doc], files: dict[str, str]) -> None:
    for doc in tqdm(docs, "uploading", unit="files"):
        if doc.id not in files:
            files[doc.id] = platform.upload(f"{doc.id}.md", f"# {doc.title}\n\n{doc.text}" if doc.title else doc.text)
        platform.call("POST", f"/vector_stores/{store}/files", {"file_id": files[doc.id]})
    with tqdm(total=len(docs), desc="embedding", unit="files") as bar:
        while (counts := platform.call("GET", f"/vector_stores/{store}")["file_counts"])["in_progress"]:
            bar.update(len(docs) - counts["in_progress"] - bar.n)
            time.sleep(0.5)
    if counts["failed"]:
        raise SystemExit(f"{counts['failed']} of {len(docs)} documents could not be read into the store {store}")
