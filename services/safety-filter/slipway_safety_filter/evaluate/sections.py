"""Sections of the report that judge the classifier on what training never saw: the red team's own texts, passages, documentation, slices.

It knows which figures the gate reads. It refuses to measure by itself: measures.py and slices.py do.
"""

from collections.abc import Callable
from pathlib import Path

from slipway_shared.contracts import CheckRequest

from slipway_safety_filter.check import Checker
from slipway_safety_filter.evaluate import figures, measures, names, prompts, redteam, report, slices
from slipway_safety_filter.names import Names
from slipway_safety_filter.names import load as load_names
from slipway_safety_filter.policy import DEFAULT_TABLE, Policies

Add = Callable[..., None]
DOCS = Path("docs")


def red_team(add: Add, checker: Checker, data: Path | None, count: int, out: Path) -> None:
    """Hand-written attacks by family against look-alikes, developers' questions and open requests: recall at 1 % false positives, AUC, intervals."""
    threshold = DEFAULT_TABLE["jailbreak"].threshold
    calm = {"look-alikes (ours)": prompts.look_alikes(), "developers (ours)": redteam.developers()}
    calm |= prompts.open_requests(data, count) if data else {}
    harmless, hostile = measures.scores(checker, calm), measures.scores(checker, redteam.families())
    negatives, positives = redteam.merged(harmless), redteam.merged(hostile)
    at = figures.threshold_at(negatives, 0.01)
    low, high = figures.area_interval(positives, negatives)
    area, refused = figures.area(positives, negatives), figures.share_reaching(negatives, threshold)
    rows = [(f, figures.share_reaching(s, at), figures.share_reaching(s, threshold)) for f, s in hostile.items()]
    rows.append(("all", figures.share_reaching(positives, at), figures.share_reaching(positives, threshold)))
    text = report.table((f"family, {len(positives)} texts", f"recall at 1 % FPR (score {at:.3f})", f"recall at {threshold}"), rows)
    text += f"\nAUC {area:.4f} ({low:.4f}-{high:.4f}).\n\n"
    text += report.table(
        ("harmless source", f"refused at {threshold}"),
        [*((n, figures.share_reaching(s, threshold)) for n, s in harmless.items()), ("all", refused)],
    )
    points = [(t, figures.share_reaching(positives, t), figures.share_reaching(negatives, t)) for t in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)]
    text += (
        "\n" + report.table(("threshold", "attacks caught", "harmless refused"), points) + "\n![Operating points](operating-points.svg)\n"
    )
    levels = [k / 50 for k in range(51)]
    lines = {"attacks caught": positives, "harmless refused": negatives}
    drawn = {name: [(x, figures.share_reaching(s, x).value) for x in levels] for name, s in lines.items()}
    report.lines(out / "operating-points.svg", "Share that reaches a threshold", drawn, ("threshold", "share"))
    add(
        "The red team's own attacks", text, redteam_auc=area, redteam_recall_at_1_percent=figures.share_reaching(positives, at).value,
        redteam_recall=figures.share_reaching(positives, threshold).value, over_refusal=refused.value,
    )  # fmt: skip


def system_messages(add: Add, checker: Checker) -> None:
    """Developers' system messages: refused as such, and what would be refused were they held to the threshold of prompts, or a tenant acted on them."""
    policy, threshold = Policies(DEFAULT_TABLE).default, DEFAULT_TABLE["jailbreak"].threshold
    texts = redteam.instructions()
    verdicts = [checker.check(CheckRequest(text=text, system=((0, len(text)),)), policy) for text in texts]
    refused = figures.Rate(sum(verdict.verdict == "block" for verdict in verdicts), len(texts))
    watched = figures.Rate(sum(bool(verdict.findings) for verdict in verdicts), len(texts))
    calm = redteam.merged(measures.scores(checker, {"instructions": texts}))
    hostile = redteam.merged(measures.scores(checker, redteam.families()))
    text = report.table((f"{len(texts)} system messages", "share"), [("refused", refused), ("let through, counted and audited", watched)])
    text += "\nWhere a tenant's rows `injection.system` and its like block:\n\n" + report.table(
        ("threshold", "attacks inside system messages caught", "system messages refused"),
        [(t, figures.share_reaching(hostile, t), figures.share_reaching(calm, t)) for t in (threshold, 0.8, 0.9, 0.95)],
    )
    add("System messages", text, system_refused=refused.value, system_refused_as_prompts=figures.share_reaching(calm, threshold).value)


def passages(add: Add, checker: Checker, data: Path | None, count: int) -> None:
    """Orders of kinds that training never saw inside retrieved passages, the same passages without, and our own manual."""
    threshold = DEFAULT_TABLE["injection"].threshold

    def dropped(texts: list[str]) -> figures.Rate:
        return figures.share_reaching([max((s.score for s in checker.orders(t)), default=0.0) for t in texts], threshold)

    rows: list[tuple[str, figures.Rate]] = []
    values: dict[str, float] = {}
    if data and (pair := redteam.planted_orders(data, count))[0]:
        rows += [("bipia, orders of unseen kinds", dropped(pair[0])), ("the same passages without", dropped(pair[1]))]
        values |= {"passage_recall": rows[0][1].value, "passages_dropped": rows[1][1].value}
    if sections := redteam.documentation(DOCS):
        rows.append(("our own documentation, by section", dropped([text for _, text in sections])))
        values["documentation_dropped"] = rows[-1][1].value
    if rows:
        add("Orders inside passages", report.table(("passages", f"dropped at {threshold}"), rows), **values)


def named_people(add: Add, data: Path | None, cache: Path) -> None:
    """People's names by model: recall and precision on texts whose names training left out, on all, on prose marked by hand, and spans in texts of developers."""
    sets: dict[str, list[names.Text]] = {}
    if data and (file := data / "pii_presidio" / "generated_large.json").is_file():
        sets["pii_presidio, every name kept from training"] = [text for text in names.presidio(file) if text.unseen]
        sets["pii_presidio, all texts"] = names.presidio(file)
    for name, told in (("squad_train.jsonl", "not looked at before"), ("squad_validation.jsonl", "seen when templates were written")):
        if data and (file := data / "squad_sample" / name).is_file():
            sets[f"passages marked by hand, {told}"] = names.marked(file)
    if not sets:
        return
    reader = Names(load_names(), cache)
    threshold = DEFAULT_TABLE["pii"].threshold
    rows = [
        (name, *names.rates(reader, texts, threshold), *names.rates(reader, texts, 0.7)) for name, texts in sets.items()
    ]  # fmt: skip
    calm = redteam.developers() + redteam.instructions()
    seen = figures.Rate(sum(any(span.score >= threshold for span in reader.find(text)) for text in calm), len(calm))
    head = ("texts", f"recall at {threshold}", f"precision at {threshold}", "recall at 0.7", "precision at 0.7")
    text = report.table(head, rows) + f"\nDevelopers' questions and system messages in which it sees a name: {seen}.\n"
    _, recall, precision, *_ = rows[0]
    add("People's names by model", text, name_recall=recall.value, name_precision=precision.value)


def toxicity(add: Add, checker: Checker, data: Path | None, count: int) -> None:
    """hate_davidson's unseen third: recall by class, and false positives by group named."""
    file = data / "hate_davidson" / "labeled_data.csv" if data else None
    if file is None or not file.is_file() or not checker.encodes:
        return
    threshold = DEFAULT_TABLE["harm"].threshold
    classes, groups = slices.rates(checker, file, 3 * count, threshold)
    head = ("flagged as hate", "flagged as harassment")
    text = report.table((f"class, at {threshold}", *head), classes)
    text += "\nHarmless tweets by what they name (false positives):\n\n" + report.table(("names", *head), groups)
    worst = max((hate.value for _, hate, _ in groups[:-1] if hate.total >= 20), default=0.0)
    add("Toxicity by slice", text, slice_false_positives=worst)
