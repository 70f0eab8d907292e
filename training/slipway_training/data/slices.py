"""Who a corpus speaks of: counts of terms for groups of people, by domain, and which occupations stand near which gender.

It knows short, neutral word lists. It refuses to judge: a count is no verdict, and a word can be a name, a place or a plural. It shows where a corpus is
silent or lopsided, so that whoever trains on it knows. After the identity term counts of Dodge et al. 2021 (arXiv 2104.08758) and the pronoun and occupation
counts of Touvron et al. 2023 (arXiv 2307.09288, section 4.1).
"""

import re
from collections import Counter
from dataclasses import dataclass, field

GROUPS: dict[str, dict[str, str]] = {
    "gender": {
        "female": "she her hers herself woman women girl girls mother mothers daughter daughters sister sisters wife wives female",
        "male": "he him his himself man men boy boys father fathers son sons brother brothers husband husbands male",
        "neutral": "they them their theirs themselves person people parent parents child children sibling siblings spouse spouses",
        "nonbinary": "nonbinary non-binary transgender genderqueer intersex",
    },
    "religion": {
        "christian": "christian christians christianity catholic catholics protestant protestants church churches",
        "muslim": "muslim muslims islam islamic mosque mosques",
        "jewish": "jewish jew jews judaism synagogue synagogues",
        "hindu": "hindu hindus hinduism",
        "buddhist": "buddhist buddhists buddhism",
        "none": "atheist atheists atheism agnostic secular",
    },
    "region": {
        "africa": "africa african africans nigeria nigerian kenya kenyan ethiopia ethiopian ghana egyptian egypt",
        "asia": "asia asian asians china chinese india indian indians japan japanese korea korean vietnam vietnamese indonesia indonesian",
        "europe": "europe european europeans britain british france french germany german italy italian spain spanish poland polish",
        "north america": "america american americans canada canadian canadians",
        "latin america": "mexico mexican brazil brazilian argentina argentine colombia colombian latino latina latinos hispanic",
        "middle east": "arab arabs arabic iran iranian iraq iraqi israel israeli palestinian turkey turkish",
    },
    "age": {
        "young": "young youth teenager teenagers adolescent adolescents infant infants toddler toddlers",
        "old": "old elderly elder elders aged retired senior seniors grandmother grandfather",
    },
    "disability": {"disability": "disabled disability disabilities blind deaf autistic autism wheelchair impairment impaired"},
    "orientation": {"heterosexual": "heterosexual straight", "gay or bisexual": "gay lesbian lesbians bisexual homosexual queer"},
}
"""Axis, group, terms. Terms are whole words in lower case."""
OCCUPATIONS = frozenset(
    """
accountant architect artist author baker carpenter chef clerk coach dentist designer developer director doctor driver economist engineer farmer firefighter
judge lawyer leader librarian manager mechanic minister nurse painter pharmacist philosopher physician pilot plumber politician president professor
programmer psychologist scientist secretary soldier surgeon teacher therapist waiter waitress writer
""".split()
)
PRONOUNS = {"she": "female", "her": "female", "hers": "female", "he": "male", "him": "male", "his": "male"}
WINDOW = 12
"""Words on each side of an occupation in which a pronoun counts as near."""
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)?")
_GROUP_OF = {term: (axis, group) for axis, groups in GROUPS.items() for group, terms in groups.items() for term in terms.split()}


@dataclass(slots=True)
class Slices:
    """Counts of one domain. Rates are per million words."""

    words: int = 0
    groups: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    near: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])

    def add(self, text: str) -> None:
        """Count one text."""
        words = _WORD.findall(text.lower())
        self.words += len(words)
        self.groups.update(_GROUP_OF[w] for w in words if w in _GROUP_OF)
        for i, word in enumerate(words):
            occupation = word if word in OCCUPATIONS else word[:-1] if word.endswith("s") and word[:-1] in OCCUPATIONS else ""
            if occupation:
                around = words[max(0, i - WINDOW) : i + WINDOW + 1]
                self.near.setdefault(occupation, Counter()).update({PRONOUNS[w] for w in around if w in PRONOUNS})

    def per_million(self, axis: str, group: str) -> float:
        """How often a group's terms stand in a million words."""
        return 1e6 * self.groups[(axis, group)] / max(1, self.words)

    def as_dict(self) -> dict[str, object]:
        """For JSON; every group is listed, also those that never occur."""
        return {
            "words": self.words,
            "per_million": {a: {g: round(self.per_million(a, g), 1) for g in groups} for a, groups in GROUPS.items()},
            "occupations": {o: dict(sorted(c.items())) for o, c in sorted(self.near.items()) if c},
        }
