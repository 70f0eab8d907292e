"""`python -m slipway_retriever.index.migrate`: copy the vectors of every searchable passage into Qdrant before the retriever is switched over to it.

It reads SLIPWAY_RETRIEVER_* like the service, whose data folder must be free: stop the retriever, migrate, set SLIPWAY_RETRIEVER_QDRANT, start it. Run again it
sends only what is missing. Going back needs no command: the database never lost a vector.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from slipway_retriever.app import index_maker, load_embedder
from slipway_retriever.index.qdrant import QdrantMissing
from slipway_retriever.settings import RetrieverSettings
from slipway_retriever.store import passages
from slipway_retriever.store.tenants import FolderInUse, Tenants


def main(argv: Sequence[str] | None = None) -> int:
    """Copy, and say how many vectors each store has there now."""
    parser = argparse.ArgumentParser(prog="slipway_retriever.index.migrate", description=(__doc__ or "").strip())
    parser.parse_args(argv)
    settings = RetrieverSettings()
    if settings.qdrant is None:
        sys.stderr.write("migrate: set SLIPWAY_RETRIEVER_QDRANT to the address that the vectors shall go to\n")
        return 2
    try:
        embedder = load_embedder(settings)
        tenants, new_index = Tenants(settings.data_dir, lock_seconds=settings.lock_seconds), index_maker(settings, embedder)
    except (FolderInUse, QdrantMissing) as error:
        sys.stderr.write(f"migrate: {error}\n")
        return 2
    for name in tenants.on_disk():
        tenant = tenants.get(name)
        for row in tenant.rows("SELECT id FROM stores ORDER BY rowid"):
            index, entries = new_index(name, row["id"]), sorted(passages.searchable(tenant, row["id"], embedder.digest))
            index.retain(passages.numbers(tenant, entries))
            for block in tqdm(passages.blocks(tenant, entries), f"{name}/{row['id']}", unit="blocks", disable=not sys.stderr.isatty()):
                index.add(block.numbers, np.asarray(block.vectors, dtype=np.float32))
            sys.stdout.write(f"{name} {row['id']}: {len(index):,} vectors in {index.kind}\n")
    tenants.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
