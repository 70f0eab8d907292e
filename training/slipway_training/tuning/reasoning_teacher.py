"""The teacher of the reasoning portfolio on the held-out items: asked over its URL, greedily, and judged as its students are.

It knows questions, verdicts and the clock. It refuses to know likelihoods, which such an API does not give: a choice is written, not weighed.
"""

import asyncio
import hashlib
import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slipway_training.data.synth.config import SynthConfig
from slipway_training.data.synth.teacher import PromptRefused, Server, ask
from slipway_training.tuning.reasoning import Scores
from slipway_training.tuning.reasoning_data import Choice, Sets
from slipway_training.tuning.rewards import right

CHOOSE = "Choose the right answer to the question. Write the text of that answer and nothing else."
TIMED = 8
"""So many answers are asked for one at a time, for the clock."""


def teacher_scores(config: SynthConfig, sets: Sets, out: Path, tokenizer: Any) -> Scores:
    """Scores of the teacher, kept in `out` under who it is. Lengths are counted by the students' `tokenizer`; raises TeacherFailed and ConfigError."""
    who = config.teacher.model_dump_json() + config.prompts.system + json.dumps([len(sets.held_problems), len(sets.held_choices)])
    kept = out / f"scores-teacher-{hashlib.sha256(who.encode()).hexdigest()[:12]}.json"
    if not kept.is_file():
        kept.write_text(json.dumps(asdict(asyncio.run(_measure(config, sets, tokenizer)))), encoding="utf-8")
    return Scores(**json.loads(kept.read_text(encoding="utf-8")))


async def _measure(config: SynthConfig, sets: Sets, tokenizer: Any) -> Scores:
    greedy = config.model_copy(update={"teacher": config.teacher.model_copy(update={"temperature": 0.0})})
    questions = [[_said("system", config.prompts.system), _said("user", p.question)] for p in sets.held_problems]
    choices = [[_said("system", CHOOSE), *c.asked] for c in sets.held_choices]
    async with Server(config.teacher.url, config.teacher.key_variable, config.bounds) as server:
        timed = [await _timed(server, greedy, messages) for messages in questions[:TIMED]]
        many = asyncio.Semaphore(config.bounds.concurrency)

        async def one(messages: list[dict[str, str]]) -> str:
            async with many:
                return await _answer(server, greedy, messages)

        rest = await asyncio.gather(*map(one, [*questions[TIMED:], *choices]))
    solved = [text for text, _ in timed] + rest[: len(questions) - len(timed)]
    chosen = rest[len(questions) - len(timed) :]
    return Scores(
        [float(right(text, p.gold)) for text, p in zip(solved, sets.held_problems, strict=True)],
        [float(picked(text, c) == c.right) for text, c in zip(chosen, sets.held_choices, strict=True)],
        [], [milliseconds for _, milliseconds in timed], [float(len(tokenizer(text, verbose=False)["input_ids"])) for text in solved],
    )  # fmt: skip


def picked(text: str, choice: Choice) -> int | None:
    """The option that an answer names: the one that it is, else the only one that it holds; None where it names none or several."""
    said = _words(text)
    same = [i for i, option in enumerate(choice.options) if _words(option) == said]
    held = same or [i for i, option in enumerate(choice.options) if f" {_words(option)} " in f" {said} "]
    return held[0] if len(held) == 1 else None


async def _timed(server: Server, config: SynthConfig, messages: list[dict[str, str]]) -> tuple[str, float]:
    begun = time.monotonic()
    return await _answer(server, config, messages), 1000 * (time.monotonic() - begun)


async def _answer(server: Server, config: SynthConfig, messages: list[dict[str, str]]) -> str:
    """The reply; empty, and so wrong, where the server refuses the question."""
    try:
        return (await ask(server, config.teacher, messages, config.seed)).text
    except PromptRefused:
        return ""


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
