"""`data prepare`: a mixture and a frozen tokenizer become packed rows, with provenance, counts and an input speed that can be compared with a model's.

It knows the order of work; each step stands in a file of its own. Started again after any interruption it goes on where it stopped and ends with the same
digest. It refuses to know the model.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from slipway_training.data.blend import Share, order
from slipway_training.data.curate import Curated, curate
from slipway_training.data.mixture import MixtureConfig
from slipway_training.data.packed import Packed, PackedRow, write_packed
from slipway_training.data.progress import Bars
from slipway_training.data.spool import stamp
from slipway_training.data.tokens import Rows, TokenSpool
from slipway_training.errors import ConfigError
from slipway_training.vocab.lock import FILE, LOCK, load_frozen

COUNTS = "counts.json"
WORK = "work"
_BESIDE = (LOCK, "tokenizer_config.json", "chat_template.jinja", "tokenizer.model")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows, each source's share, and the tokens per second of the steps that this run did itself."""

    packed: Packed
    shares: dict[str, Share]
    seconds: dict[str, float]


def prepare(
    mixture: MixtureConfig, tokenizer_at: Path, folder: Path, console: Console, workers: int = 1, stopped: Callable[[], bool] | None = None
) -> Prepared:
    """Packed rows in `folder` (steps in between in `folder/work`); raises ConfigError or DataMissing with what to do, Stopped when `stopped` says so."""
    tokenizer, sha256 = load_frozen(tokenizer_at)
    end = tokenizer.token_to_id(mixture.end_token)
    if end is None:
        raise ConfigError(f"the tokenizer has no token {mixture.end_token!r}; name its end token by end_token=")
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    with Bars(console, stopped) as bars:
        curated = curate(mixture, folder / WORK, bars, workers)
        seconds["curate"] = time.perf_counter() - started
        spools: dict[str, TokenSpool] = {}
        for name, spool in curated.spools.items():
            spools[name] = TokenSpool(folder / WORK / "tokens", name)
            wanted = stamp(curated.stamp, sha256, end)
            if not spools[name].made_from(wanted):
                with bars.step(f"tokens {name}", curated.counts[name]["copies"]["characters_kept"] / 4, "tokens") as advance:
                    spools[name].write(spool.read(), tokenizer, end, wanted, advance)
        seconds["tokens"] = time.perf_counter() - started - seconds["curate"]
        packed, taken = _pack(mixture, curated, spools, folder, sha256, tokenizer.get_vocab_size(), bars)
        seconds["pack"] = time.perf_counter() - started - seconds["curate"] - seconds["tokens"]
    _write_counts(folder / COUNTS, mixture, curated, spools, taken)
    _copy_tokenizer(tokenizer_at, folder)
    return Prepared(packed, taken, seconds)


def _pack(
    mixture: MixtureConfig, curated: Curated, spools: dict[str, TokenSpool], folder: Path, sha256: str, vocab_size: int, bars: Bars
) -> tuple[Packed, dict[str, Share]]:
    rows = {name: spool.stages(mixture.stages, mixture.context) for name, spool in spools.items()}
    stages, taken = order(mixture, {name: [len(r) for r in stage] for name, stage in rows.items()})
    names = list(rows)

    def ordered() -> Iterator[PackedRow]:
        for number, picked in enumerate(stages):
            for source, row in picked.tolist():
                ids, starts = rows[names[source]][number].row(row)
                advance(mixture.context)
                yield PackedRow(ids, starts, names[source], number)

    notes = {"mixture": mixture.name, "seed": str(mixture.seed), "curated": curated.stamp, "stages": ",".join(map(str, mixture.stages))}
    with bars.step("pack", sum(map(len, stages)) * mixture.context, "tokens") as advance:
        packed = write_packed(
            folder, ordered(), context=mixture.context, vocab_size=vocab_size, tokenizer_sha256=sha256, shard_rows=mixture.shard_rows,
            sources=curated.origins, notes=notes,
        )  # fmt: skip
    return packed, taken


def _copy_tokenizer(at: Path, folder: Path) -> None:
    """The tokenizer's files beside the rows: who trains on them needs no other folder."""
    beside = at if at.is_dir() else at.parent
    for source, name in ((beside / FILE if at.is_dir() else at, FILE), *((beside / name, name) for name in _BESIDE)):
        if source.is_file() and source.resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)


def _write_counts(path: Path, mixture: MixtureConfig, curated: Curated, spools: dict[str, TokenSpool], taken: dict[str, Share]) -> None:
    """Everything that was counted on the way, for the audit: by source the steps, the stages, and the share taken."""
    sources: dict[str, Any] = {}
    for name, spool in spools.items():
        stages: list[Rows] = spool.stages(mixture.stages, mixture.context)
        sources[name] = {
            "steps": curated.counts[name],
            "tokens": spool.tokens,
            "stages": [{"documents": r.documents, "tokens": r.tokens, "rows": len(r)} for r in stages],
            "rows": {"available": taken[name].available, "taken": taken[name].taken, "wanted": taken[name].wanted},
            "repeats": round(taken[name].repeats, 4),
        }
    path.write_text(json.dumps({"sources": sources, "evals": curated.evals}, indent=1), encoding="utf-8")
