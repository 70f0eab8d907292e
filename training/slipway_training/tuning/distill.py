"""Distillation: the student learns from a teacher's logits, or from the texts that it writes.

It knows the order of a run and what is logged of the teacher: name, version, licence, digest, filters. It refuses a teacher with another vocabulary.

    OUT/teacher/             made teacher (only where teacher.folder is empty)
    OUT/cache/               top-k logits, see teacher_cache.py (method=logits)
    OUT/teacher_rows.jsonl   the teacher's texts that passed (method=sequence)
    OUT/hf/, report.json, provenance.json, log.jsonl, loss.svg, checkpoints/
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import Trainer as HfTrainer
from transformers import TrainingArguments

from slipway_training.data.progress import Bars
from slipway_training.errors import ConfigError
from slipway_training.tuning import finish, processes, rows
from slipway_training.tuning.base import Opened, make_base, open_base, weights_digest
from slipway_training.tuning.config import Best, DistillConfig, Divergence
from slipway_training.tuning.divergence import divergence
from slipway_training.tuning.plan import tuning_rows
from slipway_training.tuning.rewards import right
from slipway_training.tuning.rows import IGNORED, Tokens
from slipway_training.tuning.sampling import answers, verified_best
from slipway_training.tuning.sft import base_folder, counts, make_trainer
from slipway_training.tuning.teacher_cache import TeacherCache, identity, write_cache
from slipway_training.tuning.trainers import SafeCheckpoints, arguments, fit, remember


class Trainer(SafeCheckpoints, HfTrainer):
    """Trains on `divergence.weight` of the divergence and the rest of the rows' own tokens. Batches come from `Collator`."""

    def __init__(self, how: Divergence, **given: Any) -> None:
        super().__init__(**given)
        self._how = how
        self.model_accepts_loss_kwargs = False  # the loss below is a mean: accumulated micro-batches are averaged

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        outputs = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
        labels = inputs["labels"][:, 1:]
        learnt = labels != IGNORED
        logits = outputs.logits[:, :-1][learnt]
        own = torch.nn.functional.cross_entropy(logits.float(), labels[learnt])
        far = divergence(logits, inputs["kept"], inputs["ids"], self._how)
        loss = self._how.weight * far + (1 - self._how.weight) * own
        return (loss, outputs) if return_outputs else loss


class Collator:
    """Pads rows on the right and lays the teacher's entries of all learnt positions behind each other, in the order of rows."""

    def __init__(self, cache: TeacherCache, pad: int) -> None:
        self._cache, self._pad = cache, pad

    def __call__(self, some: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in some)
        ids = torch.full((len(some), width), self._pad)
        labels, mask = torch.full((len(some), width), IGNORED), torch.zeros((len(some), width), dtype=torch.long)
        for place, row in enumerate(some):
            size = len(row["input_ids"])
            ids[place, :size], labels[place, :size], mask[place, :size] = torch.tensor(row["input_ids"]), torch.tensor(row["labels"]), 1
        entries = [self._cache.row(row["index"]) for row in some]
        kept, tokens = torch.cat([e[0] for e in entries]), torch.cat([e[1] for e in entries])
        return {"input_ids": ids, "labels": labels, "attention_mask": mask, "kept": kept, "ids": tokens.long()}


def run(config: DistillConfig, console: Console) -> bool:
    """Distil to the end and write `hf/` (True), or to a signal (False). Raises TrainingError."""
    shared = processes.join()
    folder, console = Path(config.run.out), shared.console(console)
    found = rows.read_rows(config.data)
    student = open_base(base_folder(config, found, folder))
    teacher = _teacher(config, student, found, folder, console)
    if teacher is None:
        return False
    if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ConfigError(
            f"{teacher.folder} and the student have different vocabularies; learn from its texts instead: `data synth`, then sft"
        )
    filters: dict[str, object] = {"max_tokens": config.data.max_tokens}
    if config.method == "sequence":
        found, kept = teacher_texts(config, teacher, found, folder, console)
        filters |= {"verified": config.texts.verified, "samples": config.texts.samples, **kept}
    tokens = rows.tokenize(found, student.tokenizer, config.data, assistant_only=config.assistant_only)
    remember(config, folder, weights_digest(student.folder), weights_digest(teacher.folder), tokens.count)
    before, of_teacher = finish.mean_loss(student.model, tokens.held_out), finish.mean_loss(teacher.model, tokens.held_out)
    trainer = _trainer(config, student, teacher, tokens, folder, console)
    if not fit(trainer, config, folder, console, "distill"):
        return False
    if not shared.first:
        return True
    model: Any = trainer.model
    after = finish.mean_loss(model, tokens.held_out)
    finish.write_hf(model, student, folder)
    report = {**counts(tokens, trainer), "held_out_loss_before": before, "held_out_loss": after, "held_out_loss_of_teacher": of_teacher}
    finish.write_report(
        folder, report, {"rows": rows.provenance(config.data), "teacher": _record(config, teacher, filters)}, student.folder
    )
    console.print(
        f"held-out loss {before:.3f} -> {after:.3f} (teacher {of_teacher:.3f}) nats a token; {folder / 'hf'} is ready", highlight=False
    )
    return True


def plan(config: DistillConfig) -> list[tuple[str, str]]:
    """What the run costs here: (what, value). The teacher reads every row once."""
    table = tuning_rows(config)
    k = config.divergence.top_k
    return [
        *table,
        (
            "teacher",
            f"reads every row once; its cache takes {6 * k} bytes a learnt token"
            if config.method == "logits"
            else "writes every answer once",
        ),
    ]


def teacher_texts(
    config: DistillConfig, teacher: Opened, found: list[dict[str, Any]], folder: Path, console: Console
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The rows with the teacher's own last answers, and how many were asked, right and kept; written once and read again."""
    path = folder / "teacher_rows.jsonl"
    with processes.here().first_before_others():
        if not path.is_file():
            with Bars(console) as bars, bars.step("teacher's texts", len(found) * config.texts.samples, "answers") as said:
                written = "".join(json.dumps(row) + "\n" for row in _written(config, teacher, found, said))
            part = path.with_suffix(".part")
            part.write_text(written, encoding="utf-8")
            part.replace(path)
    kept = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if not kept:
        raise ConfigError("the teacher answered no row rightly; another teacher, or texts.verified=false where answers are no numbers")
    return kept, {"asked": len(found), "kept": len(kept)}


def _written(config: DistillConfig, teacher: Opened, found: list[dict[str, Any]], said: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """The rows whose answer the teacher gave as well, in its words; without texts.verified all that it answered."""
    how, prompts = config.texts, [rows.prompt_ids(row["messages"][:-1], teacher.tokenizer) for row in found]
    golds = [str(row["messages"][-1]["content"]) for row in found]
    if how.samples > 1:
        best = Best(samples=how.samples, temperature=how.temperature, max_new_tokens=how.max_new_tokens)
        texts = verified_best(teacher, prompts, golds, best, config.run.seed, said)
    else:
        greedy = answers(teacher, prompts, how.max_new_tokens, said=said)
        texts = [text if right(text, gold) or not how.verified else None for text, gold in zip(greedy, golds, strict=True)]
    for row, text in zip(found, texts, strict=True):
        if text:
            yield {"messages": [*row["messages"][:-1], {"role": "assistant", "content": text}]}


def _trainer(config: DistillConfig, student: Opened, teacher: Opened, tokens: Tokens, folder: Path, console: Console) -> Any:
    if config.method == "sequence":
        return make_trainer(student, tokens, config, folder)
    name = identity(weights_digest(teacher.folder), tokens.train, config.divergence)
    with processes.here().first_before_others():
        if not (folder / "cache").exists():
            with Bars(console) as bars, bars.step("teacher's logits", len(tokens.train), "rows") as said:
                write_cache(teacher.model, tokens.train, config.divergence, name, folder / "cache", said)
    cache = TeacherCache(folder / "cache", name)
    args = TrainingArguments(**arguments(config, folder, len(tokens.train)), remove_unused_columns=False)
    data: Any = [{**row, "index": index} for index, row in enumerate(tokens.train)]
    pad = student.tokenizer.pad_token_id
    return Trainer(config.divergence, model=student.model, args=args, train_dataset=data, data_collator=Collator(cache, pad))


def _teacher(config: DistillConfig, student: Opened, found: list[dict[str, Any]], folder: Path, console: Console) -> Opened | None:
    """The teacher's folder, or a wider model of the student's tokenizer that is tuned on the rows first; None when a signal stopped that."""
    if config.teacher.folder:
        return open_base(Path(config.teacher.folder))
    if config.model.base:
        raise ConfigError("teacher.folder must name the teacher, a Hugging Face folder with the student's tokenizer")
    out, shared = folder / "teacher", processes.here()
    shared.wait()  # what the first process writes below, none may find before it has asked
    if not (out / "hf" / "config.json").is_file():
        shape = config.model.model_copy(update={"width": config.teacher.width})
        texts = [m["content"] for row in found for m in row["messages"]]
        optim = config.optim.model_copy(update={"max_steps": config.teacher.steps})
        tuned = config.model_copy(update={"optim": optim, "packing": False})
        with shared.first_before_others():
            base = make_base(shape, texts, out / "base", config.run.seed + 1)
        opened = open_base(base)
        tokens = rows.tokenize(found, student.tokenizer, config.data, assistant_only=config.assistant_only)
        trainer = make_trainer(opened, tokens, tuned, out)
        if not fit(trainer, tuned, out, console, "teacher"):
            return None
        if shared.first:
            finish.write_hf(trainer.model, opened, out)
        shared.wait()
    return open_base(out / "hf")


def _record(config: DistillConfig, teacher: Opened, filters: dict[str, object]) -> dict[str, object]:
    made = not config.teacher.folder
    name = config.teacher.name or ("made teacher" if made else teacher.folder.name)
    return {
        "name": name, "version": config.teacher.version or weights_digest(teacher.folder), "licence": config.teacher.licence or ("Apache-2.0" if made else "unknown"),
        "sha256": weights_digest(teacher.folder), "method": config.method,
        "divergence": config.divergence.model_dump(mode="json") if config.method == "logits" else None, "filters": filters,
    }  # fmt: skip
