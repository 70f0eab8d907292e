"""From a mixture's sources to documents worth training on: read, clean, drop copies, drop evaluation text; each step can be started again.

It knows the order of the steps and keeps every count. It refuses to know tokens: the tokenizer recipe and `data prepare` both start from here.
"""

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from slipway_training.data.clean import Cleaner
from slipway_training.data.decontaminate import Decontaminator
from slipway_training.data.dedup import Deduplicator
from slipway_training.data.document import Document, Tally
from slipway_training.data.files import origin
from slipway_training.data.mixture import Cleaning, MixtureConfig, Quality, Source
from slipway_training.data.origin import Origin
from slipway_training.data.progress import Bars
from slipway_training.data.readers import read
from slipway_training.data.spool import Spool, stamp

CHUNK = 64
"""Documents that a worker cleans at a time."""
PARALLEL_FROM = 2 << 20
"""Bytes of a source from which processes are started for it: until they have read their libraries, one process cleans as much."""
STEPS = 3
"""Raised when cleaning changes, so that earlier work is not taken for today's."""


@dataclass(frozen=True, slots=True)
class Curated:
    """The documents of every source, where they came from, and what was dropped on the way (`counts[source][step]`)."""

    mixture: MixtureConfig
    spools: dict[str, Spool]
    origins: dict[str, Origin]
    counts: dict[str, dict[str, Any]]
    evals: dict[str, dict[str, int]]
    stamp: str


def curate(mixture: MixtureConfig, folder: Path, bars: Bars, workers: int = 1, parallel_from: int = PARALLEL_FROM) -> Curated:
    """Curated documents in `folder`; what an earlier, interrupted run finished there is used. Raises DataMissing, ConfigError.

    `workers` processes clean sources of at least `parallel_from` bytes.
    """
    origins = {s.name: origin(s) for s in mixture.sources}
    cleaned: dict[str, Spool] = {}
    stamps: list[str] = []
    with _Workers(workers, parallel_from) as team:
        for source in mixture.sources:
            spool = Spool(folder / "clean", source.name)
            wanted = _source_stamp(source, mixture, origins[source.name])
            if not spool.made_from(wanted):
                _clean(source, mixture, spool, wanted, bars, origins[source.name].bytes_read, team)
            cleaned[source.name] = spool
            stamps.append(wanted)
    wanted = stamp(
        stamps, mixture.dedup.model_dump(), mixture.decontaminate.model_dump(mode="json"), [origin(e).sha256 for e in _evals(mixture)]
    )
    kept = {name: Spool(folder / "kept", name) for name in cleaned}
    if not all(spool.made_from(wanted) for spool in kept.values()):
        _drop_copies(mixture, cleaned, kept, wanted, bars)
    counts = {name: {"clean": cleaned[name].note()["tally"], **kept[name].note()["tallies"]} for name in cleaned}
    evals = next(iter(kept.values())).note()["evals"]
    return Curated(mixture, kept, origins, counts, evals, wanted)


def _evals(mixture: MixtureConfig) -> Iterator[Source]:
    """The evaluations as sources, for the digest of their bytes: against another version of one the same documents are other documents."""
    return (Source(**e.model_dump(), licence="an evaluation, not trained on") for e in mixture.decontaminate.evals)


def _source_stamp(source: Source, mixture: MixtureConfig, found: Origin) -> str:
    settings = source.model_dump(mode="json", exclude={"weight", "url", "storage", "licence", "attribution", "domain"})
    return stamp(STEPS, settings, mixture.cleaning.model_dump(), mixture.quality.model_dump(), found.sha256)


def _clean(source: Source, mixture: MixtureConfig, spool: Spool, wanted: str, bars: Bars, size: int, team: "_Workers") -> None:
    tally = Tally()
    with bars.step(f"clean {source.name}", size, "characters") as advance:
        documents = read(source, tally, advance)
        job = _Job(source, mixture.cleaning, mixture.quality)
        spool.write(team.clean(job, documents, tally, size))
    spool.finish(wanted, tally=tally.as_dict())


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs to clean a chunk; it travels with every chunk, which costs a few microseconds."""

    source: Source
    cleaning: Cleaning
    quality: Quality

    def __call__(self, documents: list[Document]) -> tuple[list[Document], Tally]:
        tally = Tally()
        return list(Cleaner(self.source, self.cleaning, self.quality).clean(documents, tally)), tally


class _Workers:
    """Processes that clean, started once and only for a source that is worth it; documents come back in their order."""

    def __init__(self, count: int, least: int) -> None:
        self._count, self._least = count, least
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def clean(self, job: _Job, documents: Iterator[Document], tally: Tally, size: int) -> Iterator[Document]:
        """With several processes a bounded number of chunks is under way, so that a source larger than memory streams through."""
        if self._count == 1 or size < self._least:
            while chunk := list(islice(documents, CHUNK)):
                yield from _counted(*job(chunk), tally)
            return
        if self._pool is None:
            # Ctrl-C reaches every process of a terminal; only the one that reads decides what it means.
            self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
        under_way: deque[Future[tuple[list[Document], Tally]]] = deque()
        while chunk := list(islice(documents, CHUNK)):
            under_way.append(self._pool.submit(job, chunk))
            if len(under_way) >= 4 * self._count:
                yield from _counted(*under_way.popleft().result(), tally)
        while under_way:
            yield from _counted(*under_way.popleft().result(), tally)


def _counted(documents: list[Document], more: Tally, tally: Tally) -> list[Document]:
    tally.kept += more.kept
    tally.characters_kept += more.characters_kept
    tally.dropped += more.dropped
    tally.changed += more.changed
    return documents


def _drop_copies(mixture: MixtureConfig, cleaned: dict[str, Spool], kept: dict[str, Spool], wanted: str, bars: Bars) -> None:
    """One pass over all sources in the mixture's order: of two copies the one in the earlier source stays."""
    copies, evals = Deduplicator(mixture.dedup), Decontaminator.of(mixture.decontaminate)
    tallies: dict[str, dict[str, Any]] = {}
    for name, spool in cleaned.items():
        by_evals, by_copies = Tally(read=spool.note()["tally"]["kept"]), Tally()
        with bars.step(f"copies {name}", spool.note()["tally"]["characters_kept"], "characters") as advance:
            kept[name].write(copies.keep(evals.keep(_told(spool.read(), advance), by_evals), by_copies))
        by_copies.read = by_evals.kept
        tallies[name] = {"evals": by_evals.as_dict(), "copies": by_copies.as_dict()}
    found = {name: count.as_dict() for name, count in evals.counts.items()}
    for name, spool in kept.items():
        spool.finish(wanted, tallies=tallies[name], evals=found)


def _told(documents: Iterable[Document], advance: Callable[[int], None]) -> Iterator[Document]:
    for document in documents:
        advance(len(document.text))
        yield document
