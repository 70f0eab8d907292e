"""Small self-made material for the training tests: a tokenizer and bundles of invented facts."""

from random import Random

import pytest
from slipway_training.rows import Page
from slipway_training.sources.lookup import lookup_pages
from slipway_training.tokenizer import train_tokenizer
from tokenizers import Tokenizer


@pytest.fixture(scope="session")
def pages() -> list[Page]:
    return list(lookup_pages(Random(5), 40))


@pytest.fixture(scope="session")
def tokenizer(pages: list[Page]) -> Tokenizer:
    texts = [text for page in pages for p in page.passages for text in (p.text, *(a.question for a in p.asks))]
    return train_tokenizer(texts, 600)
