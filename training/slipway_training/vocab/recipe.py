"""The tokenizer recipe: curate text, train a vocabulary, prove that it can write every byte, audit it, freeze it.

It knows the order of work. It refuses to freeze a vocabulary that loses text. A signal stops it between two
documents (exit code 75); the same words go on at the step that was under way.
"""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from slipway_training.costs import ending
from slipway_training.data.clean import Cleaner
from slipway_training.data.curate import Curated, curate
from slipway_training.data.document import Tally
from slipway_training.data.files import origin
from slipway_training.data.progress import Bars, Stopped
from slipway_training.data.readers import read
from slipway_training.errors import TrainingError
from slipway_training.signals import stop_on_signal
from slipway_training.tokenizer import train_tokenizer, write_tokenizer_folder
from slipway_training.vocab.audit import VocabularyAudit, audit
from slipway_training.vocab.config import TokenizerConfig
from slipway_training.vocab.corpus import make_corpus
from slipway_training.vocab.coverage import Coverage, prove
from slipway_training.vocab.lock import Lock, freeze
from slipway_training.vocab.pieces import to_tokenizer, train_pieces

REPORT = "report.json"
MODEL = "tokenizer.model"
SAMPLE_DOCUMENTS = 40
CHARACTERS_A_TOKEN = 4.0
"""Of English text in a vocabulary of some ten thousand tokens."""


def run(config: TokenizerConfig, console: Console) -> bool:
    """Everything in `config.out`: tokenizer/ (a Hugging Face folder with its lock), report.json, work/. False: a signal stopped it, it goes on when run again."""
    out = Path(config.out)
    with stop_on_signal() as stopped:
        try:
            with Bars(console, stopped) as bars:
                coverage, found, lock = _make(config, out, bars)
        except Stopped:
            return False
    _show(console, coverage, found, lock, out)
    return True


def _make(config: TokenizerConfig, out: Path, bars: Bars) -> tuple[Coverage, VocabularyAudit, Lock]:
    curated = curate(config.mixture, out / "work", bars, config.workers)
    corpus = make_corpus(curated, config.characters, config.held_out)
    total = sum(corpus.characters.values())
    with bars.step(f"train {config.kind}", total, "characters", whole=True) as advance:
        tokenizer, model = _train(config, _told(corpus.training(), advance))
    coverage = prove(tokenizer)
    if not coverage.ok:
        raise TrainingError(
            f"the vocabulary loses text: {coverage.byte_tokens} of 256 bytes have a token, {len(coverage.failures)} of "
            f"{coverage.texts} texts did not come back, such as {coverage.failures[:3]}"
        )
    with bars.step("audit", total, "characters") as advance:
        found = audit(tokenizer, corpus.training(), corpus.measured(), config.rare_below, advance)
    lock = _export(config, tokenizer, model, curated, out / "tokenizer")
    _report(config, curated, corpus.characters, coverage, found, lock, out / REPORT)
    return coverage, found, lock


def plan(config: TokenizerConfig) -> list[tuple[str, str]]:
    """What it would cost here: text by size, time by cleaning a few real documents of every source and training on them."""
    origins = {s.name: origin(s) for s in config.mixture.sources}
    sample: list[str] = []
    started = time.perf_counter()
    for source in config.mixture.sources:
        tally = Tally()
        few = source.model_copy(update={"max_documents": SAMPLE_DOCUMENTS})
        cleaner = Cleaner(source, config.mixture.cleaning, config.mixture.quality)
        sample += [d.text for d in cleaner.clean(read(few, tally), tally)]
    cleaning = (time.perf_counter() - started) / max(1, sum(map(len, sample)))
    # Self-made text has no files: its sample stands for it.
    size = sum(o.bytes_read for o in origins.values()) or sum(map(len, sample))
    trained = min(config.characters, size)
    seconds = cleaning * size / config.workers + _training_seconds(config, sample, trained)
    return [
        ("vocabulary", f"{config.vocab_size:,} tokens, {config.kind}"),
        ("parameters", "none: a vocabulary has no weights"),
        ("text", f"{size:,} bytes in {sum(o.files for o in origins.values())} files of {len(origins)} sources"),
        ("trained on", f"at most {config.characters:,} characters, {config.held_out:.0%} of documents kept apart"),
        ("training tokens", f"about {trained / CHARACTERS_A_TOKEN:,.0f} ({CHARACTERS_A_TOKEN:g} characters each; its audit counts them)"),
        ("memory", f"about {250 + trained / 40_000:,.0f} MB (distinct words of the text, and shingles of its documents)"),
        ("measured here", f"{1 / cleaning:,.0f} characters/s cleaned by one process"),
        *ending(seconds, config.price_per_hour, "price_per_hour"),
    ]


def _training_seconds(config: TokenizerConfig, sample: list[str], characters: int) -> float:
    """From a small vocabulary over the sample; both trainers first count words, and that part grows with the text."""
    if not sample:
        return 0.0
    started = time.perf_counter()
    train_tokenizer(sample, 320)
    return (time.perf_counter() - started) * characters / sum(map(len, sample))


def _train(config: TokenizerConfig, texts: Iterable[str]) -> tuple[Tokenizer, bytes | None]:
    match config.kind:
        case "byte_bpe":
            return train_tokenizer(texts, config.vocab_size), None
        case "sentencepiece_bpe":
            model = train_pieces(texts, config.vocab_size, "bpe")
        case _:
            model = train_pieces(texts, config.vocab_size, "unigram")
    return to_tokenizer(model), model


def _told(texts: Iterable[str], advance: Callable[[int], None]) -> Iterable[str]:
    for text in texts:
        advance(len(text))
        yield text


def _export(config: TokenizerConfig, tokenizer: Tokenizer, model: bytes | None, curated: Curated, folder: Path) -> Lock:
    write_tokenizer_folder(tokenizer, folder, config.context_tokens)
    (folder / MODEL).unlink(missing_ok=True)
    if model is not None:
        (folder / MODEL).write_bytes(model)
    return freeze(folder, config.name, config.kind, tokenizer.get_vocab_size(), curated.stamp)


def _report(
    config: TokenizerConfig,
    curated: Curated,
    characters: dict[str, int],
    coverage: Coverage,
    found: VocabularyAudit,
    lock: Lock,
    path: Path,
) -> None:
    sources = [{"name": n, "characters": characters[n], **o.model_dump(), "steps": curated.counts[n]} for n, o in curated.origins.items()]
    settings = config.model_dump(mode="json", exclude={"mixture", "out"})
    report = {
        "recipe": settings, "tokenizer": lock.model_dump(), "coverage": {"byte_tokens": coverage.byte_tokens, "texts": coverage.texts},
        "audit": found.as_dict(), "sources": sources,
    }  # fmt: skip
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")


def _show(console: Console, coverage: Coverage, found: VocabularyAudit, lock: Lock, out: Path) -> None:
    table = Table(
        "domain, held out",
        "bytes",
        "bytes/token",
        "tokens/word",
        "rare tokens",
        "byte tokens",
        title=f"{lock.name}: {lock.kind}",
        title_justify="left",
    )
    for name, f in sorted(found.domains.items()):
        row = f.as_dict()
        table.add_row(
            name, f"{f.bytes:,}", f"{row['bytes_per_token']:.3f}", f"{row['tokens_per_word']:.3f}", f"{row['rare_token_rate']:.3%}",
            f"{row['byte_token_rate']:.3%}",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{lock.vocab_size:,} tokens: {found.never} never seen, {found.rare} seen fewer than {found.rare_below} times in "
        f"{int(found.counts.sum()):,} training tokens; 256 bytes and {coverage.texts:,} texts come back", highlight=False,
    )  # fmt: skip
    console.print(f"frozen in {out / 'tokenizer'}, sha256 {lock.sha256}", highlight=False)
