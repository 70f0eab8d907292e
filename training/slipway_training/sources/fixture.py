"""A handful of self-made pages for `--tiny` and for tests: no data folder is needed and nothing here is under another licence.

It knows a small lookup world only.
"""

from collections.abc import Iterator
from random import Random

from slipway_training.rows import Page
from slipway_training.sources.lookup import lookup_pages

SOURCE = "fixture"


def fixture_pages(rng: Random) -> Iterator[Page]:
    """Sixty short pages."""
    for page in lookup_pages(rng, 60):
        yield Page(SOURCE, page.passages)
