"""Porter's stemmer for English words.

Source: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the two departures of its author's later notes (`bli`, `logi`).
It knows suffixes only. It refuses to know sentences, other languages and scores: a word that is not plain ASCII letters comes back as it is.
"""

import re
from functools import lru_cache

_VOWELS = "aeiou"
_STEP2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al", "entli": "ent", "eli": "e",
    "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful", "ousness": "ous",
    "aliti": "al", "iviti": "ive", "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
_STEP4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti", "ous", "ive", "ize",
)  # fmt: skip
_PLAIN = re.compile(r"[a-z]{3,40}")
_LONGEST_FIRST = {id(table): sorted(table, key=len, reverse=True) for table in (_STEP2, _STEP3)}


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of one lower-case word."""
    if not _PLAIN.fullmatch(word):
        return word
    word = _plural(word)
    word = _past(word)
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _mapped(word, _STEP2)
    word = _mapped(word, _STEP3)
    return _tail(_stripped(word))


def _consonant(word: str, i: int) -> bool:
    if word[i] in _VOWELS:
        return False
    return word[i] != "y" or i == 0 or not _consonant(word, i - 1)


def _measure(word: str) -> int:
    """How many vowel-consonant sequences `word` holds."""
    shape = "".join("c" if _consonant(word, i) else "v" for i in range(len(word)))
    return len(re.findall("v+c+", shape))


def _has_vowel(word: str) -> bool:
    return any(not _consonant(word, i) for i in range(len(word)))


def _double(word: str) -> bool:
    return len(word) > 1 and word[-1] == word[-2] and _consonant(word, len(word) - 1)


def _cvc(word: str) -> bool:
    n = len(word)
    return n > 2 and _consonant(word, n - 1) and not _consonant(word, n - 2) and _consonant(word, n - 3) and word[-1] not in "wxy"


def _plural(word: str) -> str:
    if word.endswith("sses") or word.endswith("ies"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        base = word.removesuffix(suffix)
        if base != word and _has_vowel(base):
            return _mended(base)
    return word


def _mended(word: str) -> str:
    if word.endswith(("at", "bl", "iz")):
        return word + "e"
    if _double(word) and word[-1] not in "lsz":
        return word[:-1]
    return word + "e" if _measure(word) == 1 and _cvc(word) else word


def _mapped(word: str, table: dict[str, str]) -> str:
    for suffix in _LONGEST_FIRST[id(table)]:
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            return base + table[suffix] if _measure(base) > 0 else word
    return word


def _stripped(word: str) -> str:
    suffix = max((s for s in _STEP4 if word.endswith(s)), key=len, default="")
    base = word[: len(word) - len(suffix)]
    if not suffix or _measure(base) < 2 or (suffix == "ion" and not base.endswith(("s", "t"))):
        return word
    return base


def _tail(word: str) -> str:
    if word.endswith("e"):
        base = word[:-1]
        if (m := _measure(base)) > 1 or (m == 1 and not _cvc(base)):
            word = base
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
