"""What happens to one document before any counting: repair, language, quality, personal data, in that order.

It knows the order and what is counted. It refuses to know other documents: copies are `dedup`'s, evaluation text is `decontaminate`'s.
"""

from collections.abc import Iterable, Iterator

from slipway_training.data.document import Document, Tally
from slipway_training.data.mixture import Cleaning, Quality, Source
from slipway_training.data.pii import scrub
from slipway_training.data.quality import refuse
from slipway_training.errors import StackMissing

try:
    import ftfy
    from langdetect import DetectorFactory, LangDetectException, detect_langs
except ImportError as error:  # pragma: no cover - depends on the installation
    raise StackMissing(error.name or "ftfy", "data") from error

# Curly quotes stay: a model should read and write them. Everything else is ftfy's default.
_REPAIR = ftfy.TextFixerConfig(uncurl_quotes=False, explain=False)


class Cleaner:
    """Cleans the documents of one source; deterministic, so that the same source gives the same rows."""

    def __init__(self, source: Source, cleaning: Cleaning, quality: Quality) -> None:
        """`source.quality` False leaves the quality rules out."""
        self._source, self._cleaning, self._quality = source, cleaning, quality
        # langdetect draws random priors: without a seed the same text can have two languages. Each detector starts from it anew.
        DetectorFactory.seed = 0

    def clean(self, documents: Iterable[Document], tally: Tally) -> Iterator[Document]:
        """The documents that stay, repaired and without personal data; every reason is counted in `tally`."""
        for document in documents:
            text = self._repaired(document.text, tally)
            reason = self._refused(text)
            if reason:
                tally.dropped[reason] += 1
                continue
            if self._cleaning.pii:
                text, found = scrub(text)
                tally.changed.update({f"pii_{kind}": n for kind, n in found.items()})
            tally.kept += 1
            tally.characters_kept += len(text)
            yield Document(text, document.source, document.number)

    def _repaired(self, text: str, tally: Tally) -> str:
        if not self._cleaning.repair:
            return text.strip()
        fixed = ftfy.fix_text(text, _REPAIR)
        if fixed != text:
            tally.changed["repaired"] += 1
        return fixed.strip()

    def _refused(self, text: str) -> str | None:
        if not text:
            return "empty"
        wanted = self._cleaning.languages
        if wanted and language_share(text[: self._cleaning.language_characters], wanted) < self._cleaning.language_share:
            return "language"
        if not self._source.quality:
            return None
        return refuse(text, self._quality, english=not wanted or "en" in wanted)


def language_share(text: str, wanted: tuple[str, ...]) -> float:
    """The probability that `text` is in one of the `wanted` languages (ISO 639-1); 0 for text without letters."""
    try:
        return float(sum(guess.prob for guess in detect_langs(text) if guess.lang.partition("-")[0] in wanted))
    except LangDetectException:
        return 0.0
