"""Development sets made from the open data folder (SLIPWAY_DATA_DIR): questions whose passage is known.

squad: human questions over encyclopedia paragraphs; the validation file's, and those of a quarter of the training file's paragraphs. factbook: questions over
country fields, where every country has the same fields. definitions: glossary definitions without their term, over the textbook paragraphs that introduce it.
exercises: the books' own questions, over the paragraphs and printed answers of their sections. Everything is written outside the repository. It refuses to be a
benchmark: tune on these, publish others.

Every set has answers on record (answers.jsonl): squad's are human, a definition's is its term, a field's is its text or the first part of it, an exercise's is
the answer that the book prints, which no quote repeats word for word.
"""

import hashlib
import html
import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from slipway_retriever.evaluate import beir
from slipway_retriever.evaluate.beir import Doc

COUNTRIES = 40
QUESTIONS = 300
MODULES = 12
EXERCISED = 70
_TAG = re.compile(r"<[^<>]{1,500}>")
_SPACE = re.compile(r"\s+")
_YEAR = re.compile(r"\s*\([^()]*\)$")
GLOSSARY = re.compile(r"^([a-zA-Z][\w '()/-]{2,48}): ([^\n]{15,220})$", re.MULTILINE)
Asked = tuple[str, dict[str, int], str]
"""A question, its graded documents, its answer."""
_FORMS = {
    "Coastline": "How long is the coastline of {c}?",
    "Climate": "What is the climate like in {c}?",
    "Terrain": "What does the land look like in {c}?",
    "Natural resources": "What can be mined in {c}?",
    "Capital": "Which city is the capital of {c}?",
    "Government type": "How is {c} governed?",
    "Independence": "When did {c} become independent?",
    "Ethnic groups": "What peoples live in {c}?",
    "Languages": "What do people speak in {c}?",
    "Religions": "What do people in {c} believe in?",
    "Industries": "What does {c} manufacture?",
    "Agricultural products": "What is grown in {c}?",
    "Exports - commodities": "Which goods does {c} sell abroad?",
    "Imports - partners": "From which countries does {c} buy goods?",
    "Airports": "How many airports are there in {c}?",
    "Land boundaries": "Which countries border {c}?",
    "National holiday": "When is the national day of {c}?",
    "Suffrage": "From what age can people vote in {c}?",
    "Internet users": "What share of {c} is online?",
    "Median age": "How old is the typical person in {c}?",
}


def build(data: Path, out: Path) -> list[Path]:
    """Write every set that `data` has the source for; answers their folders."""
    makers = {"squad": _squad, "factbook": _factbook, "definitions": _definitions, "exercises": _exercises}
    made: list[Path] = []
    for name, make in makers.items():
        folder = out / name
        complete = all((folder / name).is_file() for name in ("qrels/test.tsv", "answers.jsonl"))
        if not complete and not make(data, folder):
            continue
        made.append(folder)
    return made


def _squad(data: Path, out: Path) -> bool:
    docs: dict[str, Doc] = {}
    queries: dict[str, str] = {}
    relevant: dict[str, dict[str, int]] = {}
    answers: dict[str, list[str]] = {}
    for part in ("train", "validation"):
        path = data / "squad_sample" / f"squad_{part}.jsonl"
        for row in (json.loads(line) for line in (path.read_text(encoding="utf-8").splitlines() if path.is_file() else [])):
            context, rest = (half.strip() for half in row["prompt"].split("Context: ", 1)[1].rsplit("\nQuestion: ", 1))
            doc = docs.setdefault(context, Doc(f"d{len(docs)}", "", context))
            # The other three quarters may train a reranker; their paragraphs stay as distractors.
            if part == "validation" or hashlib.sha256(context.encode()).digest()[0] % 4 == 0:
                queries[row["id"]] = rest.removesuffix("Answer:").strip()
                relevant[row["id"]] = {doc.id: 1}
                answers[row["id"]] = row["answers"]["text"]
    return _written(out, list(docs.values()), queries, relevant, answers)


def _factbook(data: Path, out: Path) -> bool:
    rng = random.Random(11)  # noqa: S311
    paths = sorted((data / "factbook").glob("*__*.json"))
    docs: list[Doc] = []
    asked: list[tuple[str, str]] = []
    for path in rng.sample(paths, min(COUNTRIES, len(paths))):
        country, fields = _country(json.loads(path.read_text(encoding="utf-8")))
        for name, text in fields:
            if name in _FORMS:
                asked.append((_FORMS[name].format(c=country), f"d{len(docs)}"))
            docs.append(Doc(f"d{len(docs)}", f"{country} > {name}", text))
    chosen = rng.sample(asked, min(QUESTIONS, len(asked)))
    queries = {f"q{i}": question for i, (question, _) in enumerate(chosen)}
    texts = {doc.id: doc.text for doc in docs}
    answers = {f"q{i}": _worded(texts[doc]) for i, (_, doc) in enumerate(chosen)}
    return _written(out, docs, queries, {f"q{i}": {doc: 1} for i, (_, doc) in enumerate(chosen)}, answers)


def _worded(field: str) -> list[str]:
    """What counts as a field's answer: its text, its first part, and that without the part's name and the year."""
    first = field.split("; ")[0]
    return list(dict.fromkeys([field, first, _YEAR.sub("", first), _YEAR.sub("", first.split(": ", 1)[-1])]))


def _country(raw: dict[str, dict[str, dict[str, object]]]) -> tuple[str, list[tuple[str, str]]]:
    fields = [(name, _flat(value)) for part in raw.values() for name, value in part.items()]
    named = raw.get("Government", {}).get("Country name", {}).get("conventional short form", {})
    short = _flat(named).removeprefix("text: ")
    return (short if short and short != "none" else "the country"), [(name, text[:1200]) for name, text in fields if len(text) > 3]


def _flat(value: object) -> str:
    """A field as text: `part: value` for its parts, markup gone."""
    if isinstance(value, dict):
        parts = [(str(key), _flat(inner)) for key, inner in value.items() if key != "note"]
        return "; ".join(text if key == "text" else f"{key.strip()}: {text}" for key, text in parts if text)
    return _SPACE.sub(" ", html.unescape(_TAG.sub(" ", str(value)))).strip()


def one_line(text: str) -> str:
    """A block of a book as one line."""
    return _SPACE.sub(" ", text).strip()


def _paragraphs(module: str) -> list[str]:
    return [one_line(block) for block in module.split("\n\n") if 30 <= len(block.split()) <= 250]


def sections(data: Path) -> Iterator[list[str]]:
    """The sections of each textbook."""
    for path in sorted((data / "openstax_text").glob("*.txt")):
        yield path.read_text(encoding="utf-8").split("\n# ")


def _definitions(data: Path, out: Path) -> bool:
    docs: list[Doc] = []
    asked: list[Asked] = []
    rng = random.Random(12)  # noqa: S311
    for book in sections(data):
        modules = [module for module in book if len(GLOSSARY.findall(module)) >= 4]
        for module in rng.sample(modules, min(MODULES, len(modules))):
            first, paragraphs = len(docs), _paragraphs(module)
            docs += [Doc(f"d{first + i}", "", paragraph) for i, paragraph in enumerate(paragraphs)]
            for term, definition in GLOSSARY.findall(module):
                held = {f"d{first + i}": 1 for i, paragraph in enumerate(paragraphs) if term.lower() in paragraph.lower()}
                if 1 <= len(held) <= 2:
                    asked.append((definition.strip(), held, term))
    return _some(out, docs, asked)


def _exercises(data: Path, out: Path) -> bool:
    docs: list[Doc] = []
    asked: list[Asked] = []
    modules = [module for book in sections(data) for module in book if "\nCritical Thinking Question" in module]
    for module in random.Random(13).sample(modules, min(EXERCISED, len(modules))):  # noqa: S311
        paragraphs = _paragraphs(module)
        pairs = list(_printed_answers([one_line(block) for block in module.split("\n\n")]))
        # A question is no passage: it would answer itself.
        known = dict.fromkeys([*(text for text in paragraphs if text not in dict(pairs)), *(answer for _, answer in pairs)])
        place = {text: f"d{len(docs) + i}" for i, text in enumerate(known)}
        docs += [Doc(place[text], "", text) for text in known]
        asked += [(question, {place[answer]: 1}, answer) for question, answer in pairs]
    return _some(out, docs, asked)


def _printed_answers(blocks: list[str]) -> Iterator[tuple[str, str]]:
    """Questions of the section "Critical Thinking Questions", each with the block below it."""
    inside = False
    for block, below in itertools.pairwise(blocks):
        inside = block.startswith("Critical Thinking Question") or (inside and len(block.split()) >= 4 and not GLOSSARY.match(block))
        if inside and 5 <= len(block.split()) <= 60 and block.endswith("?") and 8 <= len(below.split()) <= 250 and not below.endswith("?"):
            yield block, below


def _some(out: Path, docs: list[Doc], asked: list[Asked]) -> bool:
    chosen = random.Random(12).sample(asked, min(QUESTIONS, len(asked)))  # noqa: S311
    queries = {f"q{i}": question for i, (question, _, _) in enumerate(chosen)}
    relevant = {f"q{i}": held for i, (_, held, _) in enumerate(chosen)}
    return _written(out, docs, queries, relevant, {f"q{i}": [answer] for i, (_, _, answer) in enumerate(chosen)})


def _written(
    out: Path, docs: list[Doc], queries: dict[str, str], relevant: dict[str, dict[str, int]], answers: dict[str, list[str]]
) -> bool:
    if queries:
        beir.write(out, docs, queries, relevant)
        beir.write_answers(out, answers)
    return bool(queries)
