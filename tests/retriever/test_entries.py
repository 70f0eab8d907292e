"""The durable queue: an interrupted file is tried again, behind those that were tried less; only a file that never ends well is given up."""

import io
import sqlite3
from pathlib import Path
from typing import Any

from slipway_retriever.settings import RetrieverSettings
from slipway_retriever.store import entries, files
from slipway_retriever.store.entries import MAX_ATTEMPTS, Chunking
from slipway_retriever.store.tenant import Tenant


def added(tenant: Tenant, name: str) -> entries.Entry:
    file = files.add(tenant, name, "assistants", 3, io.BytesIO(name.encode()), max_files=9)
    return entries.add(tenant, "vs_default", file.id, {}, Chunking(64, 0))


def test_a_file_that_was_interrupted_goes_behind_the_others(tmp_path: Path) -> None:
    tenant = Tenant("local", tmp_path)
    first, second = added(tenant, "a"), added(tenant, "b")
    assert entries.next_waiting(tenant) == first
    entries.begin(tenant, first.number)
    waiting = entries.next_waiting(tenant)
    assert waiting is not None and waiting.number == second.number
    entries.forgive(tenant, first.number)
    assert entries.next_waiting(tenant) == first
    tenant.close()


def test_a_file_is_given_up_only_after_many_attempts(serve: Any, settings: RetrieverSettings) -> None:
    with serve(settings) as running:
        often, ever = running.upload("often.txt", b"The heron stands."), running.upload("ever.txt", b"The plover runs.")
    database = sqlite3.connect(settings.data_dir / "tenants" / "local" / "store.db")
    database.execute("INSERT OR IGNORE INTO stores (id, name, created_at, last_active_at) VALUES ('vs_default', 'default', 1, 1)")
    for file, attempts in ((often, MAX_ATTEMPTS - 1), (ever, MAX_ATTEMPTS)):
        database.execute(
            "INSERT INTO store_files (store_id, file_id, created_at, status, stage, attempts, chunk_tokens, overlap_tokens) "
            "VALUES ('vs_default', ?, 1, 'in_progress', 'accepted', ?, 64, 0)",
            (file["id"], attempts),
        )
    database.commit()
    database.close()
    with serve(settings) as running:
        assert running.settled(often["id"])["status"] == "completed"
        given_up = running.settled(ever["id"])
        assert given_up["status"] == "failed"
        assert "not tried again" in given_up["last_error"]["message"]
