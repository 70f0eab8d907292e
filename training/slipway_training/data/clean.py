"""What happens to one document before any counting: repair, language, quality, personal data, in that order.

It knows the order and what is counted. It refuses to know other documents: copies are `dedup`'s, evaluation text is `decontaminate`'s.
"""

import re
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
_SOUND = re.compile(r"[\n\t -%'-~‘’“”–—…]*")
"""Characters in which ftfy finds nothing: printable ASCII without the ampersand of entities, and the typographer's marks, none of which begins a
sequence that mojibake is made of."""
_ENGLISH = frozenset("the of and that with from this which have they were been their would these could should".split())
_WORDS = re.compile(r"[a-z]+")
SURELY = 0.12
"""Share of such words from which a text is English without a detector; prose has 0.15 to 0.25, other languages next to none."""
FEW = 20
"""Words below which a share says nothing."""


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
        fixed = _fixed(text)
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


def _fixed(text: str) -> str:
    """What ftfy makes of `text`; lines in which it would find nothing are spared it. It works by line, but for a tag anywhere, which turns entities off."""
    if _SOUND.fullmatch(text):
        return text
    if "<" in text:
        return ftfy.fix_text(text, _REPAIR)
    *lines, last = text.split("\n")
    return "".join(line if _SOUND.fullmatch(line) else ftfy.fix_text(line, _REPAIR) for line in (*(f"{line}\n" for line in lines), last))


def language_share(text: str, wanted: tuple[str, ...]) -> float:
    """The probability that `text` is in one of the `wanted` languages (ISO 639-1); 0 for text without letters, 1 for what is plainly English."""
    if "en" in wanted and plainly_english(text):
        return 1.0
    try:
        return float(sum(guess.prob for guess in detect_langs(text) if guess.lang.partition("-")[0] in wanted))
    except LangDetectException:
        return 0.0


def plainly_english(text: str) -> bool:
    """Whether small words of English alone are a share of the words, and half of it in either half, that no other language and no mixture reaches."""
    small = [word in _ENGLISH for word in _WORDS.findall(text.lower())]
    middle = len(small) // 2
    halves = min(sum(small[:middle]), sum(small[middle:]))
    return len(small) >= FEW and sum(small) >= SURELY * len(small) and halves >= SURELY * middle / 2
