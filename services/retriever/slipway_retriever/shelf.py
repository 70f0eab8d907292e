"""The indexes of the stores in memory: built from the database when first asked for, kept fresh file by file.

It knows which files an index holds. It refuses to know how it searches, and keeps nothing that the database does not.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from slipway_retriever.index.bm25 import Bm25Index
from slipway_retriever.index.index import Index
from slipway_retriever.store import passages
from slipway_retriever.store.tenant import Tenant

MAX_SHELVED = 256
"""Stores whose indexes stay in memory; the one unused for longest goes first, and is built again when asked for."""


@dataclass
class Shelved:
    """The indexes of one store. `entries` are the files in them, with their passages' numbers.

    Whoever refreshes or searches holds `lock`: a store that is being built keeps its own callers waiting, and nobody else's.
    """

    vectors: Index
    words: Bm25Index
    revision: int = -1
    entries: dict[int, passages.Numbers] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Shelf:
    """Indexes by tenant and store. `new_index` makes the index of vectors for a tenant's store, by both names."""

    def __init__(self, new_index: Callable[[str, str], Index]) -> None:
        self._new_index = new_index
        self._shelved: OrderedDict[tuple[str, str], Shelved] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tenant: Tenant, store_id: str) -> Shelved:
        """The store's indexes, perhaps out of date; hold their lock and refresh them before reading."""
        key = (tenant.name, store_id)
        with self._lock:
            if key not in self._shelved:
                self._shelved[key] = Shelved(self._new_index(tenant.name, store_id), Bm25Index())
            self._shelved.move_to_end(key)
            while len(self._shelved) > MAX_SHELVED:
                self._shelved.popitem(last=False)
            return self._shelved[key]

    def refresh(self, shelved: Shelved, tenant: Tenant, store_id: str) -> None:
        """Bring the indexes to exactly the files that are searchable now. The caller holds their lock."""
        revision = tenant.revision
        if shelved.revision != revision:
            self._update(shelved, tenant, store_id)
            shelved.revision = revision

    def _update(self, shelved: Shelved, tenant: Tenant, store_id: str) -> None:
        searchable = passages.searchable(tenant, store_id)
        if shelved.revision < 0:
            shelved.vectors.retain(passages.numbers(tenant, sorted(searchable)))
        gone = [entry for entry in shelved.entries if entry not in searchable]
        if gone:
            numbers = passages.joined([shelved.entries.pop(entry) for entry in gone])
            shelved.vectors.remove(numbers)
            shelved.words.remove(numbers)
        new = [entry for entry in searchable if entry not in shelved.entries]
        for block in passages.blocks(tenant, new):
            shelved.vectors.add(block.numbers, block.vectors)
            shelved.words.add(block.numbers, block.texts)
            shelved.entries.update(block.entries)
