"""From sources to batches: lists of like length, tokenized, in an order that the seed gives.

It knows the mixture and who makes a batch. It refuses to know the network and the schedule.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from slipway_shared.grounding import fence
from tokenizers import Tokenizer

from slipway_training.device import streamed
from slipway_training.errors import DataMissing
from slipway_training.pointer.config import PointerConfig
from slipway_training.pointer.encode import PairBatch, pair_batch
from slipway_training.pointer.lists import AskList, Shape, Source, mixed
from slipway_training.prepare import NEEDS_DATA, pages_of
from slipway_training.sources.provenance import data_dir

POOL = 12
"""Batches that are drawn together and cut by length, so that little padding is computed."""


def read_sources(config: PointerConfig, say: Callable[[str], None]) -> list[Source]:
    """The sources of the mixture, each with its own random stream."""
    names = [name for name, weight in config.data.mixture.items() if weight > 0]
    root = data_dir(config.run.data_dir) if NEEDS_DATA & set(names) else None
    made = {name: pages_of(name, Random(f"{config.run.seed}/{name}"), root, config.data.invented_pages) for name in names}
    sources = [Source(name, list(pages)) for name, pages in made.items()]
    for source in sources:
        say(f"{source.name}: {len(source)} passages with questions")
    return sources


def encoded(sources: list[Source], tokenizer: Tokenizer, config: PointerConfig, first: int = 0) -> Iterator[PairBatch]:
    """The run's batches from number `first` on, as tensors; made by `run.workers` processes where it has some."""

    # Each process passes over its own share untokenized; what is left of the last turn is made and dropped.
    turns, left = divmod(first, config.run.workers) if config.run.workers else (first, 0)

    def make(worker: int) -> Iterator[PairBatch]:
        for lists in islice(batches(sources, config, worker), turns, None):
            yield pair_batch(tokenizer, lists, config.model.max_tokens)

    return islice(streamed(make, config.run.workers), left, None)


def batches(sources: list[Source], config: PointerConfig, worker: int = 0) -> Iterator[list[AskList]]:
    """Batches of lists of like length, the same for the same seed and worker."""
    rng, size = Random(f"{config.run.seed}/{worker}" if worker else config.run.seed), config.optim.batch_lists
    shape = Shape(config.data.passages, config.data.unanswerable, config.data.hard)
    stream = mixed(rng, sources, config.data.mixture, shape)
    while True:
        pool = sorted(islice(stream, POOL * size), key=lambda item: max(map(len, item.passages)))
        if len(pool) < size:
            raise DataMissing("the sources of data.mixture hold no questions")
        batches = [pool[at : at + size] for at in range(0, len(pool), size)]
        rng.shuffle(batches)
        yield from batches


def texts(seed: int, sources: list[Source]) -> Iterator[str]:
    """What the word pieces are counted over."""
    rng = Random(seed)
    for source in sources:
        for item in islice(source.lists(rng, Shape(2, 0.0, 0.0)), 3000):
            yield item.question
            yield from (fence(passage) for passage in item.passages)
