"""The reasoning portfolio: one student before, after answers alone, and after a teacher's short rationales; measured on the same held-out items.

It knows the order of legs, how they are measured, and what was the teacher. It refuses to call gold rationales a model. Restartable: a finished leg is kept.

    OUT/base/, OUT/rows-LEG.jsonl, OUT/LEG/hf/, OUT/scores-LEG.json      legs: before, answers, rationales; and the teacher, where it is a model
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from slipway_training.data.synth.config import SynthConfig
from slipway_training.errors import ConfigError, TrainingError
from slipway_training.tuning import rows
from slipway_training.tuning.base import Opened, make_base, open_base
from slipway_training.tuning.config import Base, Optim, Rows, Run, SftConfig
from slipway_training.tuning.finish import mean_loss
from slipway_training.tuning.reasoning_data import Choice, Problem, Sets, shortened
from slipway_training.tuning.rewards import right
from slipway_training.tuning.sampling import answers

LEGS = ("before", "answers", "rationales")
TEACHER = "teacher"
GOLD = "no model: the gold rationales of the training rows, shortened to their equations"


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of one run. `student` is a Hugging Face folder, or empty for a made base of `width` and `layers`, pretrained on `pretrain_tokens` of open text."""

    student: str = ""
    width: int = 192
    layers: int = 4
    vocab_size: int = 4096
    context: int = 384
    pretrain_tokens: int = 1_000_000
    limit: int = 2000
    held: int = 200
    epochs: float = 2.0
    learning_rate: float = 1.5e-3
    words: int = 60
    max_new_tokens: int = 96
    seed: int = 17
    threads: int = 1


TINY = Plan(
    width=64,
    layers=2,
    vocab_size=400,
    context=128,
    pretrain_tokens=0,
    limit=120,
    held=24,
    epochs=4.0,
    learning_rate=5e-3,
    max_new_tokens=24,
)


@dataclass(frozen=True, slots=True)
class Scores:
    """Per held-out item: 1 or 0 for problems and choices, nats a token of the gold rationale (none of a teacher behind a URL); milliseconds of one answer
    alone, over a few."""

    problems: list[float]
    choices: list[float]
    gold_nats: list[float]
    milliseconds: list[float]
    tokens: list[float]


def run_legs(
    plan: Plan, sets: Sets, out: Path, teacher: SynthConfig | None, data: str, console: Console
) -> tuple[dict[str, Scores], dict[str, object]]:
    """Scores of every leg, and of the teacher where there is one; the record of the teacher. Raises TrainingError."""
    out.mkdir(parents=True, exist_ok=True)
    base = _base(plan, sets, out, data, console)
    texts, record = rationales(plan, sets, out, teacher, console)
    scores: dict[str, Scores] = {}
    if teacher is not None:
        from slipway_training.tuning.reasoning_teacher import teacher_scores

        scores[TEACHER] = teacher_scores(teacher, sets, out, open_base(base).tokenizer)
        console.print(_told(TEACHER, scores[TEACHER]), highlight=False)
    for leg in LEGS:
        folder = base if leg == "before" else _tuned(plan, sets, out, leg, base, texts, console)
        kept = out / f"scores-{leg}.json"
        if not kept.is_file():
            kept.write_text(json.dumps(_as_json(measure(open_base(folder), sets, plan))), encoding="utf-8")
        scores[leg] = Scores(**json.loads(kept.read_text(encoding="utf-8")))
        console.print(_told(leg, scores[leg]), highlight=False)
    return scores, record


def _told(leg: str, scores: Scores) -> str:
    return f"{leg}: problems {_mean(scores.problems):.3f}, choices {_mean(scores.choices):.3f}"


def rationales(
    plan: Plan, sets: Sets, out: Path, teacher: SynthConfig | None, console: Console
) -> tuple[dict[str, str], dict[str, object]]:
    """Question to short rationale, and who wrote them under which licence, with filters and counts."""
    asked = len(sets.problems)
    if teacher is None:
        texts = {p.question: text for p in sets.problems if (text := shortened(p.gold, plan.words)) is not None}
        filters = {"equations_only": True, "words": plan.words}
        return texts, {"name": GOLD, "version": "", "licence": sets.source, "filters": filters, "asked": asked, "kept": len(texts)}
    from slipway_training.data.synth.generate import generate

    journal = generate(teacher, console)
    texts = {_question(row["prompt"], teacher): row["answer"] for row in journal.rows}
    described = teacher.teacher
    record: dict[str, object] = {
        "name": described.model, "version": described.version, "licence": described.licence, "filters": teacher.filters.model_dump(mode="json"),
        "asked": asked, "kept": len(texts),
    }  # fmt: skip
    return texts, record


def teacher_config(plan: Plan, sets: Sets, out: Path, url: str, model: str, version: str, licence: str, key_variable: str) -> SynthConfig:
    """The generator's configuration for a teacher behind `url`: short rationales, the answer strictly checked, too long ones and copies dropped."""
    file = out / "problems.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"question": p.question, "answer": p.answer}) + "\n" for p in sets.problems), encoding="utf-8")
    return SynthConfig.model_validate(
        {
            "name": "rationales", "out": str(out / "teacher"), "seed": plan.seed,
            "prompts": {
                "source": {"name": "problems", "format": "jsonl", "url": str(file), "text": "question", "licence": sets.source, "quality": False},
                "expected": "answer",
                "system": "Solve the problem in a few short steps, one equation a line. End on a line of the form #### number.",
            },
            "teacher": {
                "url": url, "model": model, "version": version, "licence": licence, "allows_training": True, "key_variable": key_variable,
                "temperature": 0.7, "max_tokens": 4 * plan.words, "samples": 4,
            },
            "filters": {"words": (2, plan.words), "must_match": r"####\s*[-+]?[\d.,]+\s*$", "answer": "number"},
        }
    )  # fmt: skip


def _question(prompt: str, teacher: SynthConfig) -> str:
    head, _, tail = teacher.prompts.template.partition("{text}")
    return prompt.removeprefix(head).removesuffix(tail).strip()


def _base(plan: Plan, sets: Sets, out: Path, data: str, console: Console) -> Path:
    """The student's folder, a random base (tiny), or a base pretrained here by the pretrain recipe."""
    if plan.student:
        return Path(plan.student)
    if not plan.pretrain_tokens:
        texts = [t for p in sets.problems for t in (p.question, p.gold)]
        shape = Base(vocab_size=plan.vocab_size, width=plan.width, layers=plan.layers, context_tokens=plan.context)
        return make_base(shape, texts, out / "base" / "hf", plan.seed)
    from slipway_training.portfolio.corpus import prepare
    from slipway_training.recipes import recipe

    prepare(out / "text", plan.vocab_size, plan.context, 12_000_000, data)
    words = [
        f"data.packed={out / 'text'}", f"model.width={plan.width}", f"model.layers={plan.layers}", f"model.mlp_width={3 * plan.width}", "optim.batch_tokens=6144",
        f"model.heads={plan.width // 32}", f"model.kv_heads={plan.width // 64}", f"run.tokens={plan.pretrain_tokens}", f"run.threads={plan.threads}",
        f"run.seed={plan.seed}", f"run.out={out / 'base'}", "run.checkpoint_every_steps=50", "run.eval_every_steps=1000000",
    ]  # fmt: skip
    made = recipe("pretrain")
    if not (out / "base" / "hf" / "config.json").is_file() and not made.start(made.load(None, words, tiny=False), console):
        raise TrainingError("stopped; the same command goes on from here")
    return out / "base" / "hf"


def _tuned(plan: Plan, sets: Sets, out: Path, leg: str, base: Path, texts: dict[str, str], console: Console) -> Path:
    """The student after one leg. Both legs learn the same questions and choices; only what stands before the answer differs."""
    file = out / f"rows-{leg}.jsonl"
    if not file.is_file():
        kept = [p for p in sets.problems if p.question in texts]
        if not kept:
            raise ConfigError("no rationale passed the filters; nothing can be learnt from them")
        lines = [[_user(p.question), _said(texts[p.question] if leg == "rationales" else p.answer)] for p in kept]
        lines += [[*c.asked, _said(c.options[c.right])] for c in sets.choices]
        file.write_text("".join(json.dumps({"messages": m}) + "\n" for m in lines), encoding="utf-8")
    config = SftConfig(
        name=leg, model=Base(base=str(base)), data=Rows(file=str(file), licence=sets.source, held_out=0.02, max_tokens=plan.context),
        optim=Optim(learning_rate=plan.learning_rate, batch_rows=8, epochs=plan.epochs),
        run=Run(seed=plan.seed, threads=plan.threads, checkpoint_every_steps=50, out=str(out / leg)), packing=False,
    )  # fmt: skip
    from slipway_training.tuning import sft

    if not (out / leg / "report.json").is_file() and not sft.run(config, console):
        raise TrainingError("stopped; the same command goes on from here")
    return out / leg / "hf"


def measure(opened: Opened, sets: Sets, plan: Plan) -> Scores:
    """All held-out items on one student."""
    torch.set_num_threads(plan.threads)
    asked = [[_user(p.question)] for p in sets.held_problems]
    room = opened.model.config.max_position_embeddings - plan.max_new_tokens
    prompts = [ids if len(ids) <= room else ids[-room:] for ids in (rows.prompt_ids(m, opened.tokenizer) for m in asked)]
    said = answers(opened, prompts, plan.max_new_tokens)
    problems = [float(right(text, p.gold)) for text, p in zip(said, sets.held_problems, strict=True)]
    return Scores(
        problems, [float(_chosen(opened, c) == c.right) for c in sets.held_choices], [_nats(opened, p, plan) for p in sets.held_problems],
        _latency(opened, prompts[:8], plan), [float(len(opened.tokenizer(text)["input_ids"])) for text in said],
    )  # fmt: skip


def _chosen(opened: Opened, choice: Choice) -> int:
    """The option with the highest mean log-likelihood a token (what lm-eval calls acc_norm, by tokens)."""
    losses = [_loss(opened, [*choice.asked, _said(option)]) for option in choice.options]
    return losses.index(min(losses))


def _nats(opened: Opened, problem: Problem, plan: Plan) -> float:
    return _loss(opened, [_user(problem.question), _said(shortened(problem.gold, plan.words) or problem.answer)])


def _loss(opened: Opened, messages: rows.Messages) -> float:
    ids, said = rows.encode(messages, opened.tokenizer)
    cut = max(0, len(ids) - opened.model.config.max_position_embeddings)
    labels = [i if s else rows.IGNORED for i, s in zip(ids, said, strict=True)]
    return mean_loss(opened.model, [{"input_ids": ids[cut:], "labels": labels[cut:]}])


def _latency(opened: Opened, prompts: Sequence[list[int]], plan: Plan) -> list[float]:
    out: list[float] = []
    for prompt in prompts:
        begun = time.monotonic()
        answers(opened, [prompt], plan.max_new_tokens)
        out.append(1000 * (time.monotonic() - begun))
    return out


def _as_json(scores: Scores) -> dict[str, Any]:
    return {name: getattr(scores, name) for name in Scores.__slots__}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
