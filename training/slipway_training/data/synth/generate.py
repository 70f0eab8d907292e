"""`data synth`: every prompt to the teacher, every answer through the gates, what passes into rows.jsonl, and all of it on record.

It knows the order of work and when to stop. Answers are judged in the order of the prompts, however they arrive, so that equal teachers give equal files;
started again it goes on at the first prompt that is not done. It refuses to know HTTP and filters.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console

from slipway_training.data.document import Tally
from slipway_training.data.files import origin, public
from slipway_training.data.progress import Bars
from slipway_training.data.readers import records, renderer
from slipway_training.data.spool import stamp
from slipway_training.data.synth.config import SynthConfig
from slipway_training.data.synth.gates import Gates
from slipway_training.data.synth.journal import Journal, prompt_id
from slipway_training.data.synth.teacher import PromptRefused, Reply, Server, TeacherFailed, ask, flagged
from slipway_training.outputs import writable


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt, its id, and the answer that is known to be right ("" where none is)."""

    number: str
    text: str
    expected: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a prompt: the answer or the last reason against it, and the teacher's tokens. `failed` when no attempt got through."""

    prompt: Prompt
    reply: Reply | None
    reason: str
    tokens: int
    failed: TeacherFailed | None = None


def prompts(config: SynthConfig) -> Iterator[Prompt]:
    """The prompts in order; records without the fields asked for are passed over."""
    source, bound = config.prompts.source, config.bounds.prompts
    text_of, expected_of = renderer(source.text), renderer(config.prompts.expected) if config.prompts.expected else None

    def all_of_them() -> Iterator[Prompt]:
        for number, record in enumerate(records(source, Tally())):
            text = text_of(record)
            expected = expected_of(record) if expected_of else ""
            if text and text.strip() and expected is not None:
                asked = config.prompts.template.replace("{text}", text)
                yield Prompt(prompt_id(number, asked), asked, expected)

    return islice(all_of_them(), bound or None)


def plan(config: SynthConfig) -> list[tuple[str, str]]:
    """What a run would ask for: (what, value)."""
    texts = [p.text for p in prompts(config)]
    calls = len(texts) * config.teacher.samples
    most = calls * config.teacher.max_tokens + sum(len(t) // 3 for t in texts) * config.teacher.samples
    bound = f", bounded by {config.bounds.tokens:,}" if config.bounds.tokens else ""
    return [
        ("prompts", f"{len(texts):,} from {config.prompts.source.name} ({config.prompts.source.licence})"),
        ("teacher", f"{config.teacher.model} {config.teacher.version} ({config.teacher.licence}) at {public(config.teacher.url)}"),
        ("calls", f"at most {calls:,}, {config.bounds.concurrency} at a time"),
        ("tokens", f"at most about {most:,}{bound}"),
    ]


def generate(config: SynthConfig, console: Console) -> Journal:
    """Run to the last prompt or the token bound; raises TeacherFailed, ConfigError, DataMissing. What was done so far is kept in any case."""
    writable(Path(config.out), "out=")
    made_from = stamp(config.model_dump(mode="json", exclude={"out", "bounds"}))
    gates = Gates(config.filters, config.safety)
    journal = Journal(Path(config.out), made_from)
    for row in journal.rows:
        gates.admit(row["prompt"], row["answer"])
    todo = [p for p in prompts(config) if p.number not in journal.done]
    try:
        with Bars(console) as bars, bars.step(f"synth {config.name}", len(todo), "prompts") as advance:
            asyncio.run(_run(config, todo, gates, journal, advance))
    finally:
        journal.close(**_provenance(config))
    return journal


async def _run(config: SynthConfig, todo: list[Prompt], gates: Gates, journal: Journal, advance: Callable[[int], None]) -> None:
    window: deque[asyncio.Task[Outcome]] = deque()
    waiting, failures = iter(todo), 0
    async with Server(config.teacher.url, config.teacher.key_variable, config.bounds) as teacher, _moderation(config) as moderation:
        try:
            while True:
                spent = bool(config.bounds.tokens) and journal.tokens >= config.bounds.tokens
                while not spent and len(window) < config.bounds.concurrency and (prompt := next(waiting, None)):
                    window.append(asyncio.create_task(_answer(config, prompt, gates, teacher, moderation)))
                if not window:
                    return
                outcome = await window.popleft()
                failures = failures + 1 if outcome.failed else 0
                if outcome.failed and failures >= config.bounds.failures_in_a_row:
                    raise outcome.failed
                if not outcome.failed:
                    _record(config, outcome, gates, journal)
                advance(1)
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)


def _moderation(config: SynthConfig) -> Server:
    """The moderation server; without one, a client that is never called."""
    return Server(config.safety.moderation_url or config.teacher.url, config.safety.key_variable, config.bounds)


async def _answer(config: SynthConfig, prompt: Prompt, gates: Gates, teacher: Server, moderation: Server) -> Outcome:
    """Up to `samples` answers, one after another, until one passes; each with its own seed."""
    system = [{"role": "system", "content": config.prompts.system}] if config.prompts.system else []
    messages = [*system, {"role": "user", "content": prompt.text}]
    tokens, reason = 0, ""
    for sample in range(config.teacher.samples):
        try:
            reply = await ask(teacher, config.teacher, messages, _seed(config.seed, prompt.number, sample))
            tokens += reply.tokens
            reason = gates.refuse(prompt.text, reply, prompt.expected) or ""
            if not reason and config.safety.moderation_url and await flagged(moderation, config.safety, prompt.text, reply.text):
                reason = "moderation"
        except PromptRefused:
            return Outcome(prompt, None, "refused_by_server", tokens)
        except TeacherFailed as error:
            return Outcome(prompt, None, "failed", tokens, error)
        if not reason:
            return Outcome(prompt, reply, "", tokens)
    return Outcome(prompt, None, reason, tokens)


def _record(config: SynthConfig, outcome: Outcome, gates: Gates, journal: Journal) -> None:
    prompt, reply, reason = outcome.prompt, outcome.reply, outcome.reason
    if reply is not None:
        reason = gates.admit(prompt.text, reply.text) or ""
    if reply is None or reason:
        journal.finish(prompt.number, reason, outcome.tokens, None)
        return
    row = {
        "id": prompt.number, "prompt": prompt.text, "answer": reply.text, "expected": prompt.expected,
        "messages": [{"role": "user", "content": prompt.text}, {"role": "assistant", "content": reply.text}],
        "teacher": config.teacher.model, "generator": config.name,
    }  # fmt: skip
    journal.finish(prompt.number, "kept", outcome.tokens, row)


def _seed(seed: int, number: str, sample: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{number}/{sample}".encode(), digest_size=4).digest(), "big") >> 1


def _provenance(config: SynthConfig) -> dict[str, object]:
    """Everything that a model card must say about these rows; no key, no text of them."""
    teacher = config.teacher.model_dump(mode="json", exclude={"key_variable"})
    return {
        "generator": config.name, "seed": config.seed, "teacher": {**teacher, "url": public(config.teacher.url)},
        "prompts": {
            "name": config.prompts.source.name, "origin": origin(config.prompts.source).model_dump(), "system": config.prompts.system,
            "template": config.prompts.template, "expected": config.prompts.expected,
        },
        "filters": config.filters.model_dump(mode="json"),
        "safety": {**config.safety.model_dump(mode="json", exclude={"key_variable", "denylist"}), "denylist_terms": len(config.safety.denylist)},
    }  # fmt: skip
