"""The one worker that turns accepted files into searchable passages: parse, split, embed, complete; each step is durable, each is taken again after a crash.

It knows the order of the steps. It refuses to know formats, models and tables; and it never touches the event loop.
"""

import threading
from collections.abc import Callable

from slipway_shared import errors
from slipway_shared.metrics import Metrics

from slipway_retriever import split
from slipway_retriever.embed.batcher import Batcher
from slipway_retriever.parse.document import ParseError
from slipway_retriever.parse.process import ParserProcess
from slipway_retriever.store import entries
from slipway_retriever.store.tenant import Tenant
from slipway_retriever.store.tenants import Tenants

EMBED_AT_ONCE = 64
"""Passages per transaction: what a crash can cost."""

Log = Callable[..., None]


class Ingestion:
    """A background thread over the durable queues of all tenants, one file each in turn."""

    def __init__(self, tenants: Tenants, batcher: Batcher, parser: ParserProcess, metrics: Metrics, log: Log) -> None:
        self._tenants = tenants
        self._batcher = batcher
        self._parser = parser
        self._metrics = metrics
        self._log = log
        self._waiting: dict[str, None] = {}
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process left, and go on."""
        for name in self._tenants.on_disk():
            tenant = self._tenants.get(name)
            entries.restart_foreign(tenant, self._batcher.embedder.digest)
            self._waiting[name] = None
        self._thread.start()

    def wake(self, tenant: Tenant) -> None:
        """`tenant` has accepted something."""
        with self._changed:
            self._waiting[tenant.name] = None
            self._changed.notify()

    def close(self) -> None:
        """Stop after the running step; nothing is lost."""
        with self._changed:
            self._open = False
            self._changed.notify()
        # A parser at work on a slow file would outlast the time that a service has to stop.
        self._parser.abort()
        self._thread.join()
        self._parser.close()

    def _run(self) -> None:
        while (name := self._next()) is not None:
            tenant = self._tenants.get(name)
            entry = entries.next_waiting(tenant)
            if entry is None:
                continue
            self.wake(tenant)
            try:
                self._ingest(tenant, entry)
            except errors.Overloaded:
                return
            except Exception as error:  # noqa: BLE001 the edge of the worker: one file's trouble must not end everybody's ingestion
                self._log("ingestion failed", file=entry.file_id, error=type(error).__name__, exc_info=error)
                entries.fail(tenant, entry.number, "server_error", "Something went wrong on our side; add the file again.")
                self._metrics.counter("slipway_ingested_files", status="failed").inc()

    def _next(self) -> str | None:
        with self._changed:
            while self._open and not self._waiting:
                self._changed.wait()
            if not self._open:
                return None
            name = next(iter(self._waiting))
            del self._waiting[name]
            return name

    def _ingest(self, tenant: Tenant, entry: entries.Entry) -> None:
        digest = self._batcher.embedder.digest
        if entry.stage == "accepted" or entry.embedder != digest or not entry.passages:
            if entry.attempts >= entries.MAX_ATTEMPTS:
                self._fail(
                    tenant, entry, ParseError("invalid_file", "Reading the file stopped the service several times; it is not tried again.")
                )
                return
            entries.begin(tenant, entry.number)
            try:
                document = self._parser.parse(entry.filename, tenant.blob_path(entry.file_id))
                pieces = split.split(document, tokens=entry.chunking.tokens, overlap=entry.chunking.overlap)
            except ParseError as error:
                if self._open:
                    self._fail(tenant, entry, error)
                else:
                    entries.forgive(tenant, entry.number)
                return
            if not entries.save_pieces(tenant, entry.number, document.text, pieces, digest):
                return
        self._embed(tenant, entry)

    def _embed(self, tenant: Tenant, entry: entries.Entry) -> None:
        while batch := entries.unembedded(tenant, entry.number, EMBED_AT_ONCE):
            vectors = self._batcher.embed_blocking([piece.indexed for _, piece in batch])
            entries.save_vectors(tenant, [(number, vector) for (number, _), vector in zip(batch, vectors, strict=True)])
            if not self._open:
                return
        if entries.complete(tenant, entry.number):
            self._metrics.counter("slipway_ingested_files", status="completed").inc()
            self._log("file ingested", file=entry.file_id, store=entry.store_id)

    def _fail(self, tenant: Tenant, entry: entries.Entry, error: ParseError) -> None:
        entries.fail(tenant, entry.number, error.code, error.message)
        self._metrics.counter("slipway_ingested_files", status="failed").inc()
        self._log("file refused", file=entry.file_id, code=error.code)
