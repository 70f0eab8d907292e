"""The audit as pages: Markdown for a repository, HTML for a reader, a plot, and JSON for machines; all from the same figures.

It knows tables and one plot. It refuses to know how figures come about.
"""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway_training.data.audit import Audit
from slipway_training.data.slices import GROUPS
from slipway_training.errors import StackMissing

PLOT = "audit.svg"
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "th,td{border:1px solid #d0d7de;padding:.3rem .6rem;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}th{background:#f6f8fa}"
)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the report with a sentence that says how to read it."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_pages(audit: Audit, folder: Path) -> list[Path]:
    """Write audit.json, audit.md, audit.html and audit.svg into `folder`; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = _tables(audit)
    title = f"Audit of {len(audit.packed):,} rows, {len(audit.packed) * audit.packed.context:,} tokens"
    draw(audit, folder / PLOT)
    written = [folder / PLOT]
    for name, text in (
        ("audit.json", json.dumps(audit.as_dict(), indent=1)),
        ("audit.md", _markdown(title, audit, tables)),
        ("audit.html", _html(title, audit, tables, (folder / PLOT).read_text(encoding="utf-8"))),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def _tables(audit: Audit) -> list[Table]:
    return [
        _sources(audit),
        _steps(audit),
        _reasons(audit),
        _stages(audit),
        _domains(audit),
        _evals(audit),
        _groups(audit),
        _occupations(audit),
    ]


def _sources(audit: Audit) -> Table:
    counts = audit.counts["sources"]
    rows = [
        (p.source, p.origin.domain, p.origin.licence, p.origin.attribution, f"{p.rows:,}", f"{p.tokens:,}", f"{counts[p.source]['repeats']:.2f}", p.origin.sha256[:12])
        for p in audit.packed.provenance
    ]  # fmt: skip
    note = "Where every row comes from. `repeats`: how often each of the source's rows stands in the blend on average."
    return Table("Sources", note, ("source", "domain", "licence", "attribution", "rows", "tokens", "repeats", "sha256 of files"), rows)


def _steps(audit: Audit) -> Table:
    rows: list[Sequence[str]] = []
    for name, source in audit.counts["sources"].items():
        steps = source["steps"]
        copies, first = steps["copies"]["dropped"], steps["clean"]
        kept = steps["copies"]["kept"]
        rows.append((
            name, f"{first['read']:,}", f"{first['kept']:,}", f"{steps['evals']['kept']:,}", f"{copies.get('exact_copy', 0):,}",
            f"{copies.get('near_copy', 0):,}", f"{kept:,}", f"{kept / max(1, first['read']):.1%}", f"{source['tokens']:,}",
        ))  # fmt: skip
    head = ("source", "read", "clean", "without evaluations", "exact copies", "near copies", "kept", "share", "tokens")
    return Table(
        "Documents by step", "Documents that were left after each step; copies are counted against all sources before.", head, rows
    )


def _reasons(audit: Audit) -> Table:
    rows = [
        (name, what, reason, f"{count:,}")
        for name, source in audit.counts["sources"].items()
        for what in ("dropped", "changed")
        for reason, count in source["steps"]["clean"][what].items()
    ]
    note = "Which rule dropped documents, and what was changed in those that stayed (documents repaired, values of personal data replaced)."
    return Table("Cleaning", note, ("source", "what", "reason", "count"), rows)


def _stages(audit: Audit) -> Table:
    rows = [
        (str(number + 1), f"{count:,}", *(f"{s['stages'][number]['documents']:,}" for s in audit.counts["sources"].values()))
        for number, count in enumerate(audit.packed.lengths_by_stage)
    ]
    head = ("stage", "rows", *(f"documents of {n}" for n in audit.counts["sources"]))
    return Table("Curriculum", "Short documents first; rows of a stage follow each other.", head, rows)


def _domains(audit: Audit) -> Table:
    total = sum(d.tokens for d in audit.domains.values())
    rows = [
        (n, f"{d.tokens:,}", f"{d.tokens / max(1, total):.1%}", f"{d.rare / max(1, d.tokens):.3%}", f"{d.vocabulary_used / audit.packed.vocab_size:.1%}")
        for n, d in sorted(audit.domains.items())
    ]  # fmt: skip
    note = (
        f"Rare tokens occur fewer than {audit.rare_below} times in all rows together: {audit.tokens_rare:,} of {audit.packed.vocab_size:,}; "
        f"{audit.tokens_never:,} never. {audit.distinct_rows:,} of {len(audit.packed):,} rows are distinct."
    )
    return Table("Domains", note, ("domain", "tokens", "share", "rare token rate", "vocabulary used"), rows)


def _evals(audit: Audit) -> Table:
    rows = [
        (n, f"{e['items']:,}", f"{e['unchecked']:,}", f"{e['items_found']:,}", f"{e['documents_removed']:,}")
        for n, e in audit.counts["evals"].items()
    ]
    note = "Items whose words stood in training text, and the documents removed for it. Unchecked items are too short to look for."
    return Table("Evaluations", note, ("evaluation", "items", "unchecked", "items found", "documents removed"), rows)


def _groups(audit: Audit) -> Table:
    names = sorted(audit.domains)
    rows = [
        (axis, group, *(f"{audit.domains[n].slices.per_million(axis, group):,.0f}" for n in names))
        for axis, groups in GROUPS.items()
        for group in groups
    ]
    note = f"Terms for groups of people per million words, on {audit.decoded_rows:,} rows. A count is no verdict; a zero is a silence."
    return Table("Slices", note, ("axis", "group", *names), rows)


def _occupations(audit: Audit) -> Table:
    near: dict[str, dict[str, int]] = {}
    for domain in audit.domains.values():
        for occupation, counted in domain.slices.near.items():
            for gender, count in counted.items():
                near.setdefault(occupation, {}).setdefault(gender, 0)
                near[occupation][gender] += count
    ranked = sorted(near, key=lambda o: -sum(near[o].values()))[:20]
    rows = [(o, *(f"{near[o].get(g, 0):,}" for g in ("female", "male"))) for o in ranked]
    return Table(
        "Occupations",
        "Times that she/her or he/him/his stood within twelve words of an occupation.",
        ("occupation", "female", "male"),
        rows,
    )


def _markdown(title: str, audit: Audit, tables: Sequence[Table]) -> str:
    parts = [f"# {title}", f"Digest `{audit.packed.digest}`, tokenizer `{audit.packed.tokenizer_sha256}`.", f"![audit]({PLOT})"]
    for table in tables:
        lines = ["| " + " | ".join(table.head) + " |", "|" + "---|" * len(table.head)]
        lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in table.rows]
        parts += [f"## {table.title}", table.note, "\n".join(lines) if table.rows else "None."]
    return "\n\n".join(parts) + "\n"


def _html(title: str, audit: Audit, tables: Sequence[Table], svg: str) -> str:
    parts = [f"<h1>{html.escape(title)}</h1><p>Digest <code>{audit.packed.digest}</code></p>", svg[svg.index("<svg") :]]
    for table in tables:
        head = "".join(f"<th>{html.escape(h)}</th>" for h in table.head)
        body = "".join("<tr>" + "".join(_cell(c) for c in row) + "</tr>" for row in table.rows)
        parts.append(f"<h2>{html.escape(table.title)}</h2><p>{html.escape(table.note)}</p><table><tr>{head}</tr>{body}</table>")
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>{"".join(parts)}</html>\n'


def _cell(text: str) -> str:
    number = text[:1].isdigit()
    return f'<td class="n">{html.escape(text)}</td>' if number else f"<td>{html.escape(text)}</td>"


def draw(audit: Audit, path: Path) -> None:
    """Tokens, rare-token rate and gendered terms by domain, as bars."""
    try:
        import matplotlib
    except ImportError as error:
        raise StackMissing("matplotlib") from error
    matplotlib.use("svg")
    from matplotlib.figure import Figure

    names = sorted(audit.domains)
    domains = [audit.domains[n] for n in names]
    figure = Figure(figsize=(10, 0.7 + 0.45 * max(3, len(names))), layout="constrained")
    tokens, rare, gender = figure.subplots(1, 3, sharey=True)
    tokens.barh(names, [d.tokens / 1e6 for d in domains])
    tokens.set_title("million tokens", fontsize=10)
    rare.barh(names, [100 * d.rare / max(1, d.tokens) for d in domains], color="tab:orange")
    rare.set_title(f"% rare tokens (< {audit.rare_below})", fontsize=10)
    height = 0.4
    for offset, group in ((-height / 2, "female"), (height / 2, "male")):
        places = [i + offset for i in range(len(names))]
        gender.barh(places, [d.slices.per_million("gender", group) for d in domains], height=height, label=group)
    gender.set_title("gendered terms per million words", fontsize=10)
    gender.legend(fontsize=8)
    with matplotlib.rc_context({"svg.hashsalt": "audit"}):
        figure.savefig(path, metadata={"Date": None})
