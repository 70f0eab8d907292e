"""Invented names, numbers and phrases for the lookup source.

It knows word lists and how to join them, so that every value is new and no answer can be learned by heart.
It refuses to know facts: nothing here is true of anything.
"""

from dataclasses import dataclass
from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES = _words(
    """
    active archived audit blue broken cached canary central cold daily dead default edge empty encrypted expired external failed
    fast fresh global green hidden idle incoming inner internal large late local long lost main manual missing monthly nightly old
    open outer partial pending primary private public quiet raw recent red regional remote safe scheduled secondary secret shared
    short signed silent slow small stable stale static stored strict temporary trusted unused upper urgent valid verified virtual
    warm weekly white wide
    """
)
NOUNS = _words(
    """
    account adapter agent alert archive asset backup badge batch billing bucket buffer build cache calendar certificate channel
    chart checkpoint cluster collector connection container cookie counter crawler dashboard database deployment device digest
    document domain draft email engine event export feed file filter folder form gateway graph group guard image import index ingest
    invoice job journal key label ledger license link list lock log mail map message meter metric mirror model monitor network node
    note notice order package page parser partition passage password patch payment pipeline plan player pod policy pool portal
    profile prompt proxy query queue quota ranker reader record region registry release replica report request reset response
    retriever role route router rule runner sample scanner schedule schema search secret segment sensor server service session
    setting shard signal sink site slot snapshot socket source stage storage store stream subscription table tag task team template
    tenant test thread ticket timer token tool topic trace tracker trail transfer upload user vault vector version view volume
    wallet webhook worker
    """
)
VERBS = tuple(
    tuple(pair.split("/"))
    for pair in _words(
        """
    add/adds accept/accepts archive/archives build/builds cancel/cancels check/checks clean/cleans close/closes collect/collects
    compress/compresses convert/converts copy/copies count/counts create/creates delete/deletes deploy/deploys disable/disables
    download/downloads drop/drops enable/enables encrypt/encrypts expand/expands export/exports fetch/fetches filter/filters
    find/finds flush/flushes format/formats generate/generates import/imports index/indexes inspect/inspects install/installs
    list/lists load/loads lock/locks merge/merges migrate/migrates mount/mounts move/moves open/opens pack/packs parse/parses
    pause/pauses print/prints publish/publishes read/reads rebuild/rebuilds refresh/refreshes register/registers release/releases
    reload/reloads remove/removes rename/renames repair/repairs replay/replays report/reports reset/resets restart/restarts
    restore/restores resume/resumes retry/retries rotate/rotates run/runs save/saves scan/scans send/sends show/shows sign/signs
    sort/sorts start/starts stop/stops store/stores sync/syncs test/tests train/trains trim/trims unlock/unlocks update/updates
    upload/uploads validate/validates verify/verifies watch/watches write/writes
    """
    )
)
"""Base and third person."""
SYLLABLES = _words(
    """
    al an ar ba be bo cor da del di dor el en er fa fen ga gor ha hel il in jo ka kel ko la len lo ma mar mi na nor o or pa pel qui
    ra ren ro sa sel shi so ta tel ti tor u va ven vi wen xa yo za zor
    """
)
FIRST = _words(
    """
    Ada Ahmed Aiko Alan Amina Ana Anton Bela Boris Carla Chen Dana David Elena Emil Eva Farid Grace Hana Hugo Ines Ivan Jana Jorge
    Julia Kamal Karin Kofi Lars Leila Lena Luis Mara Marco Maya Mei Milan Nadia Nils Nina Noor Olga Omar Otto Paul Petra Priya Raj
    Rosa Ruth Sara Sofia Tariq Tom Uma Vera Viktor Yara Yusuf Zoe
    """
)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
PLACES = (
    "the basement",
    "Lisbon",
    "Oslo",
    "Nairobi",
    "Osaka",
    "building 4",
    "Lima",
    "Prague",
    "the north wing",
    "Toronto",
    "Accra",
    "Zagreb",
    "hall B",
)
EXTENSIONS = ("json", "yaml", "toml", "md", "txt", "log", "db", "py", "conf", "csv", "gguf", "onnx", "lock", "sh", "key", "pem")
FOLDERS = (
    "etc",
    "var",
    "opt",
    "home",
    "docs",
    "deploy",
    "models",
    "config",
    "data",
    "services",
    "tests",
    "scripts",
    "shared",
    "k8s",
    "logs",
    "build",
)
TOOLS = ("make", "npm run", "uv run", "docker compose", "kubectl", "git", "cargo", "python -m", "helm", "poetry", "just", "go", "terraform")
PREFIXES = ("APP", "SLIPWAY", "PG", "NODE", "AWS", "CI", "REDIS", "HTTP", "OTEL", "LOG", "DB", "API")


@dataclass(frozen=True, slots=True)
class Deed:
    """A thing done, in the two verb forms that questions and statements need: `rotate the signing keys`, `rotates the signing keys`."""

    base: str
    third: str


def deed(rng: Random) -> Deed:
    """A random verb phrase."""
    base, third = rng.choice(VERBS)
    article = rng.choice(("the ", "all ", "every ", "a ", "the "))
    noun = rng.choice(NOUNS)
    adjective = f"{rng.choice(ADJECTIVES)} " if rng.random() < 0.6 else ""
    plural = "s" if article == "all " else ""
    article = "an " if article == "a " and (adjective or noun)[0] in "aeiou" else article
    rest = f"{article}{adjective}{noun}{plural}"
    return Deed(f"{base} {rest}", f"{third} {rest}")


def word(rng: Random) -> str:
    """A pronounceable word that no dictionary holds."""
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.randint(2, 3)))


def thing(rng: Random) -> str:
    """The name of a component, product, place or setting: `the audit queue`, `Kelvona`, `rate-limiter`."""
    kind = rng.random()
    if kind < 0.3:
        return f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}"
    if kind < 0.5:
        return f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"
    if kind < 0.65:
        return f"{rng.choice(NOUNS)}-{rng.choice(NOUNS)}"
    if kind < 0.8:
        return rng.choice(NOUNS)
    return word(rng).capitalize()


def person(rng: Random) -> str:
    """A first name and an invented family name."""
    return f"{rng.choice(FIRST)} {word(rng).capitalize()}"


def number(rng: Random) -> str:
    """A whole or decimal number of one to five digits."""
    digits = rng.choice((1, 2, 2, 3, 3, 4, 5))
    whole = str(rng.randint(10 ** (digits - 1), 10**digits - 1))
    return f"{whole}.{rng.randint(0, 99)}" if rng.random() < 0.12 else whole


def date(rng: Random) -> str:
    """A date in one of three written forms."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1700, 2030)
    return rng.choice((f"{day} {MONTHS[month - 1]} {year}", f"{MONTHS[month - 1]} {year}", f"{year}-{month:02d}-{day:02d}", str(year)))


def identifier(rng: Random, joiner: str) -> str:
    """Two or three words with a joiner: `audit_queue`, `cold-start-timer`."""
    return joiner.join(rng.choice(NOUNS if rng.random() < 0.7 else ADJECTIVES) for _ in range(rng.choice((1, 2, 2, 3))))


def variable(rng: Random) -> str:
    """An environment variable."""
    return f"{rng.choice(PREFIXES)}_{identifier(rng, '_').upper()}"


def path(rng: Random) -> str:
    """A file or folder path."""
    folders = "/".join(rng.choice(FOLDERS) if rng.random() < 0.6 else identifier(rng, "-") for _ in range(rng.randint(1, 2)))
    lead = rng.choice(("", "", "/", "./", "~/."))
    return f"{lead}{folders}/" if rng.random() < 0.2 else f"{lead}{folders}/{identifier(rng, rng.choice('-_'))}.{rng.choice(EXTENSIONS)}"


def command(rng: Random) -> str:
    """A shell command with up to one flag."""
    base = f"{rng.choice(TOOLS)} {identifier(rng, '-')}" if rng.random() < 0.75 else f"{word(rng)} {rng.choice(VERBS)[0]}"
    return f"{base} --{identifier(rng, '-')}" if rng.random() < 0.25 else base
