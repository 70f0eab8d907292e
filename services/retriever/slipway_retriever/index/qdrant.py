"""Vectors in Qdrant, behind the same Index protocol: for stores that outgrow one process's memory. One collection per embedder, one payload field per store.

The database stays the truth: points carry passage numbers, tenant and store, never text. It refuses to know passages and to manage a Qdrant server.
"""

import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from slipway_shared import errors

from slipway_retriever.index.index import Numbers, Scores

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

AT_ONCE = 512
"""Points per call: about 1 MB of 384 dimensions as JSON stays far below Qdrant's limit of 32 MB."""
Answer = TypeVar("Answer")


class QdrantMissing(Exception):
    """The setting asks for Qdrant, and it cannot be used; the message says what to do."""


def connect(address: str, api_key: str | None, seconds: int = 10) -> "QdrantClient":
    """A client of `address`: an http(s) URL, or a folder for Qdrant's local mode (one process, brute force: for tests and small stores)."""
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise QdrantMissing(
            "SLIPWAY_RETRIEVER_QDRANT is set, and qdrant-client is not installed: pip install 'slipway-retriever[qdrant]'"
        ) from error
    if not address.startswith(("http://", "https://")):
        return QdrantClient(path=address, force_disable_check_same_thread=True)
    client = QdrantClient(url=address, api_key=api_key, timeout=seconds, check_compatibility=False)
    try:
        client.get_collections()
    except Exception as error:
        raise QdrantMissing(
            f"Qdrant at {address} does not answer ({type(error).__name__}); is it running, and is the key right?"
        ) from error
    return client


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose vectors: every search and removal is filtered by both."""

    tenant: str
    store: str


class QdrantIndex:
    """The vectors of one store. Point ids hold the owner, because two tenants count their passages alike."""

    def __init__(self, client: "QdrantClient", collection: str, dimensions: int, owner: Owner) -> None:
        from qdrant_client import models

        self._client, self._collection, self._owner, self._models = client, collection, owner, models
        self._held: set[int] = set()
        if not self._asked(lambda: client.collection_exists(collection)):
            vectors = models.VectorParams(size=dimensions, distance=models.Distance.DOT)
            self._asked(lambda: client.create_collection(collection, vectors_config=vectors))
            self._index_payload()
        self._held.update(self._stored())

    @property
    def kind(self) -> str:
        return f"qdrant: {self._collection}"

    def __len__(self) -> int:
        return len(self._held)

    def add(self, numbers: Numbers, vectors: NDArray[np.float32]) -> None:
        """Send the vectors that are not there yet; one that was sent before a restart is not sent again."""
        rows = [i for i, number in enumerate(numbers.tolist()) if number not in self._held]
        for start in range(0, len(rows), AT_ONCE):
            points = [self._point(int(numbers[i]), vectors[i]) for i in rows[start : start + AT_ONCE]]
            self._asked(lambda points=points: self._client.upsert(self._collection, points, wait=True))
        self._held.update(numbers.tolist())

    def remove(self, numbers: Numbers) -> None:
        """Delete the points."""
        gone = numbers.tolist()
        for start in range(0, len(gone), AT_ONCE):
            ids = [self._id(number) for number in gone[start : start + AT_ONCE]]
            selector = self._models.PointIdsList(points=list(ids))
            self._asked(lambda selector=selector: self._client.delete(self._collection, selector, wait=True))
        self._held.difference_update(gone)

    def retain(self, numbers: Numbers) -> None:
        """Delete what an earlier process left of passages that are gone."""
        stale = self._held.difference(numbers.tolist())
        if stale:
            self.remove(np.fromiter(stale, np.int64, len(stale)))

    def search(self, vector: NDArray[np.float32], k: int, allowed: Numbers | None = None) -> tuple[Numbers, Scores]:
        """The `k` nearest of this store; among `allowed`, where given."""
        models = self._models
        if allowed is not None and not len(allowed):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        must: list[Any] = self._mine()
        if allowed is not None:
            must.append(models.FieldCondition(key="number", match=models.MatchAny(any=allowed.tolist())))
        found = self._asked(
            lambda: self._client.query_points(
                self._collection, query=vector.tolist(), limit=k, query_filter=models.Filter(must=must), with_payload=["number"]
            )
        ).points
        numbers = [point.payload["number"] for point in found if point.payload]
        return np.array(numbers, dtype=np.int64), np.array([point.score for point in found], dtype=np.float32)

    def _index_payload(self) -> None:
        """So that filters cost little. The local mode warns that it has no such indexes."""
        kinds = self._models.PayloadSchemaType
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for name, kind in (("tenant", kinds.KEYWORD), ("store", kinds.KEYWORD), ("number", kinds.INTEGER)):
                self._asked(lambda name=name, kind=kind: self._client.create_payload_index(self._collection, name, field_schema=kind))

    def _stored(self) -> list[int]:
        out: list[int] = []
        after: Any = None
        chosen = self._models.Filter(must=self._mine())
        while True:
            page, after = self._asked(
                lambda after=after: self._client.scroll(
                    self._collection, scroll_filter=chosen, limit=10_000, offset=after, with_payload=["number"], with_vectors=False
                )
            )
            out += [int(point.payload["number"]) for point in page if point.payload]
            if after is None:
                return out

    def _mine(self) -> list[Any]:
        wanted = (("tenant", self._owner.tenant), ("store", self._owner.store))
        return [self._models.FieldCondition(key=key, match=self._models.MatchValue(value=value)) for key, value in wanted]

    def _point(self, number: int, vector: NDArray[np.float32]) -> Any:
        payload = {"tenant": self._owner.tenant, "store": self._owner.store, "number": number}
        return self._models.PointStruct(id=self._id(number), vector=vector.tolist(), payload=payload)

    def _id(self, number: int) -> str:
        return point_id(self._owner, number)

    def _asked(self, call: Callable[[], Answer]) -> Answer:
        """The answer, or UpstreamFailed: a Qdrant that is away must not look like a store without passages."""
        try:
            return call()
        except Exception as error:
            raise errors.UpstreamFailed(f"The vector database does not answer ({type(error).__name__}); try again.") from error


def point_id(owner: Owner, number: int) -> str:
    """A UUID of owner and passage: Qdrant takes integers and UUIDs only."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{owner.tenant}\0{owner.store}\0{number}"))


def collection_name(digest: str) -> str:
    """The collection of an embedder: vectors of two models never meet."""
    return f"slipway-{digest}"
