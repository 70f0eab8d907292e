"""The words of a text as search sees them: folded, without function words, stemmed.

BM25 in the retriever and the overlap scorer in the reranker count the same terms, so they stand here. It refuses to know what is done with them.
"""

import re
import unicodedata

from slipway_shared.stemming import stem

MAX_TERM = 64
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CLITIC = re.compile(r"(?<=\w)['’](?:s|t|re|ve|ll|d|m)\b")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
# Function words of English questions and prose: they stand in every passage and say nothing about which one answers.
STOP_WORDS = frozenset(
    """
a about above after again against all also am an and any are as at be because been before being below between both but by can could did do
does doing down during each few for from further had has have having he her here hers him his how i if in into is it its itself just let me
more most my no nor not now of off on once only or other our ours out over own please same shall she should so some such tell than that the
their theirs them then there these they this those through to too under until up upon us very was we were what when where which while who
whom whose why will with would you your yours
""".split()
)


def words(text: str) -> list[str]:
    """Every word of `text`, compatibility-folded and lower case, possessives dropped; runs of ideographs become overlapping pairs."""
    folded = _CLITIC.sub("", unicodedata.normalize("NFKC", text).lower())
    if folded.isascii():
        # Most text is, and it is half of the time of a search and of the words' part of a reranking.
        return [word[:MAX_TERM] for word in _WORD.findall(folded)]
    out: list[str] = []
    for match in _WORD.finditer(folded):
        word = match.group()[:MAX_TERM]
        if word.isascii():
            out.append(word)
        elif _WIDE.search(word):
            out += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            out.append(_unaccented(word))
    return out


def terms(text: str) -> list[str]:
    """The content words of `text`, stemmed, in order and with repetition."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def _unaccented(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
