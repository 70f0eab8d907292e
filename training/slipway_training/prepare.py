"""From raw data to token shards: pages of every source, one tokenizer, one shard per curriculum stage, and the provenance of it all.

It knows the mixture and the order of work; the makers of pages live in `sources`. It refuses to know the model and the loop.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tokenizers import Tokenizer

from slipway_training.bundles import Shape, bundles
from slipway_training.config import ReaderConfig, Stage
from slipway_training.errors import ConfigError
from slipway_training.layout import Layout, Row
from slipway_training.rows import Bundle, Page
from slipway_training.shards import Shard, open_shard, write_shard
from slipway_training.sources import cloze, factbook, glossary, lookup, squad
from slipway_training.sources.fixture import fixture_pages
from slipway_training.sources.provenance import Provenance, data_dir, invented, provenance
from slipway_training.tokenizer import load_tokenizer, train_tokenizer

TOKENIZER_CHARACTERS = 12_000_000
INVENTED_PAGES = 6000
NEEDS_DATA = frozenset({"factbook", "squad", "glossary", "prose"})
FOLDERS = {"factbook": "factbook", "squad": "squad_sample", "glossary": "openstax_text", "prose": "openstax_text"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the loop needs: a tokenizer, one shard per stage, and where every row came from."""

    tokenizer: Tokenizer
    shards: list[Shard]
    provenance: list[Provenance]


def prepare(config: ReaderConfig, folder: Path, say: Callable[[str], None]) -> Prepared:
    """Make tokenizer and shards in `folder`, or open them when they were made from this very configuration."""
    data = config.data.model_dump(mode="json")
    made_from = {"vocab": config.model.vocab_size, "data": data, "seed": config.run.seed, "from": config.run.init_from}
    wanted = json.dumps(made_from, sort_keys=True)
    stamp = folder / "prepared.json"
    if not stamp.is_file() or json.loads(stamp.read_text(encoding="utf-8"))["made_from"] != wanted:
        notes = _make(config, folder, say)
        stamp.write_text(json.dumps({"made_from": wanted, "provenance": [n.model_dump(mode="json") for n in notes]}), encoding="utf-8")
    notes = [Provenance.model_validate(n) for n in json.loads(stamp.read_text(encoding="utf-8"))["provenance"]]
    shards = [open_shard(folder / f"stage-{i}") for i in range(len(config.data.stages))]
    return Prepared(load_tokenizer(folder / "tokenizer.json"), shards, notes)


def _make(config: ReaderConfig, folder: Path, say: Callable[[str], None]) -> list[Provenance]:
    names = [name for name, weight in config.data.mixture.items() if weight > 0]
    root = data_dir(config.run.data_dir) if NEEDS_DATA & set(names) else None
    pages: dict[str, list[Page]] = {}
    for name in names:
        pages[name] = list(pages_of(name, Random(f"{config.run.seed}/{name}"), root))
        say(f"{name}: {len(pages[name])} pages, {sum(len(q.asks) for p in pages[name] for q in p.passages)} questions")
    tokenizer = _tokenizer(config, pages)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    say(f"tokenizer: {tokenizer.get_vocab_size()} tokens")
    for number, stage in enumerate(config.data.stages):
        layout = Layout(tokenizer, config.model.context_tokens, stage.max_tokens)
        mixed = _mixed(Random(f"{config.run.seed}/stage/{number}"), config, pages, stage)
        shard = write_shard(folder / f"stage-{number}", _until(layout, mixed, int(config.data.tokens * stage.share)))
        say(f"stage {number + 1}: {len(shard)} rows, {int(shard.offsets[-1])} tokens, mean {shard.lengths().mean():.0f} a row")
    return [provenance(root, f, ("training", "tokenizer")) for f in sorted({FOLDERS[n] for n in names if n in FOLDERS}) if root] + [
        invented(n) for n in names if n not in FOLDERS
    ]


def _tokenizer(config: ReaderConfig, pages: dict[str, list[Page]]) -> Tokenizer:
    """The earlier run's tokenizer where the weights come from one, else a new one."""
    if config.run.init_from:
        return load_tokenizer(Path(config.run.init_from) / "data" / "tokenizer.json")
    return train_tokenizer(_texts(Random(config.run.seed), pages), config.model.vocab_size)


def pages_of(name: str, rng: Random, root: Path | None, invented_pages: int = INVENTED_PAGES) -> Iterator[Page]:
    """All pages of one source of the mixture, `invented_pages` of one that is made here; raises ConfigError for a name that is none."""
    match name:
        case "lookup":
            yield from lookup.lookup_pages(rng, invented_pages)
        case "fixture":
            yield from fixture_pages(rng)
        case "factbook" if root:
            yield from factbook.factbook_pages(rng, root / "factbook", False)
        case "squad" if root:
            rows = squad.read_squad(root / "squad_sample" / "squad_train.jsonl")
            for _ in range(6):
                yield from squad.squad_pages(rng, rows)
        case "glossary" if root:
            for book in cloze.read_books(root / "openstax_text"):
                yield from glossary.glossary_pages(rng, book)
        case "prose" if root:
            for book in (*cloze.read_books(root / "openstax_text"), "\n".join(factbook.backgrounds(root / "factbook", False))):
                yield from cloze.prose_pages(rng, book)
        case _:
            raise ConfigError(f"data.mixture names {name!r}; there are: lookup, fixture, {', '.join(sorted(NEEDS_DATA))}")


def _texts(rng: Random, pages: dict[str, list[Page]]) -> Iterator[str]:
    """An even share of every source for the tokenizer, bounded in size."""
    for source in pages.values():
        left = TOKENIZER_CHARACTERS // len(pages)
        for page in rng.sample(source, k=len(source)):
            for passage in page.passages:
                text = "\n".join([passage.text, *(ask.question for ask in passage.asks)])
                left -= len(text)
                yield text
            if left < 0:
                break


def _mixed(rng: Random, config: ReaderConfig, pages: dict[str, list[Page]], stage: Stage) -> Iterator[Bundle]:
    """Bundles of all sources by the weights of the mixture, without end."""
    shape = Shape(stage.passages, stage.words, stage.turns, config.data.abstain_share, config.data.quote_share, stage.echo_share)
    streams = {name: bundles(Random(rng.random()), source, shape) for name, source in pages.items()}
    names, weights = list(streams), [config.data.mixture[name] for name in streams]
    while True:
        made = next(streams[rng.choices(names, weights)[0]], None)
        if made is None:
            raise ConfigError("a source of data.mixture made no questions")
        yield made


def _until(layout: Layout, mixed: Iterator[Bundle], tokens: int) -> Iterator[Row]:
    """Rows until they hold `tokens`."""
    left = tokens
    while left > 0:
        row = layout.row(next(mixed))
        if row is not None:
            left -= len(row.tokens)
            yield row
