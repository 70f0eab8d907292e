"""`python -m slipway_training understand lens|probe|ablate|profile FOLDER`: options and the order of work; each command leaves one folder.

It knows options, progress and file names. It refuses to know how anything is measured or drawn.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress

from slipway_training.outputs import writable
from slipway_training.told import told

understand_app = typer.Typer(
    no_args_is_help=True,
    help="Look into a Llama checkpoint: the hf/ folder of a run, any Hugging Face Llama folder, or a flavor with model.gguf.\n\n"
    "Each command leaves a plot, figures.json and README.md in --out.",
)

Checkpoint = Annotated[Path, typer.Argument(metavar="FOLDER", help="config.json + *.safetensors, or model.gguf")]
TokenizerFile = Annotated[Path | None, typer.Option(help="tokenizer.json; default: in or beside the folder")]
Out = Annotated[Path | None, typer.Option(help="default: runs/understand/NAME/COMMAND")]
Texts = Annotated[Path | None, typer.Option(help='.jsonl of {"text": ..., "label": ...}, or paragraphs; default: self-made sentences')]
Plot = Annotated[Literal["svg", "png"], typer.Option(help="form of the plot")]
Most = Annotated[int, typer.Option(min=2, help="tokens of a text that are read")]


@understand_app.command("lens")
def lens_command(
    folder: Checkpoint, tokenizer: TokenizerFile = None, out: Out = None, plot: Plot = "svg", max_tokens: Most = 128, texts: Texts = None,
    text: Annotated[str, typer.Option(help="one text; instead of --texts")] = "", limit: Annotated[int, typer.Option(help="texts that are read")] = 24,
) -> None:  # fmt: skip
    """Logit lens: after which layer does the model already say what it will say? Rank and probability of the final token, by layer."""
    console = Console()
    with told(console):
        from slipway_training.understand.figures import draw_lens
        from slipway_training.understand.lens import logit_lens, over_layers
        from slipway_training.understand.opened import open_checkpoint
        from slipway_training.understand.study import lens_page, write
        from slipway_training.understand.texts import Text, read_texts

        opened = open_checkpoint(folder, tokenizer)
        place = _place(out, opened.name, "lens")
        chosen = [Text(text)] if text else read_texts(texts, limit)
        with _bar(console) as bar:
            lenses = [logit_lens(opened, t.text, max_tokens) for t in bar.track(chosen, description="texts")]
        draw_lens(lenses[0], over_layers(lenses), place / f"lens.{plot}")
        page, plain = lens_page(opened.name, lenses)
        write(place, page, f"lens.{plot}", plain)
        _show(console, page, place)


@understand_app.command("probe")
def probe_command(
    folder: Checkpoint, tokenizer: TokenizerFile = None, out: Out = None, plot: Plot = "svg", max_tokens: Most = 128, texts: Texts = None,
    limit: Annotated[int, typer.Option(help="texts that are read; 0: all")] = 0,
    pool: Annotated[Literal["mean", "last"], typer.Option(help="a text as the mean of its tokens, or as its last token")] = "last",
    untrained: Annotated[bool, typer.Option(help="probe the same shape with random weights too")] = True,
) -> None:  # fmt: skip
    """Linear probes: what can be read off each layer? Cross-validated accuracy beside shuffled labels and untrained weights."""
    console = Console()
    with told(console):
        from slipway_training.understand import probe as probing
        from slipway_training.understand.figures import draw_probe
        from slipway_training.understand.opened import open_checkpoint
        from slipway_training.understand.study import probe_page, write
        from slipway_training.understand.texts import read_texts

        opened = open_checkpoint(folder, tokenizer)
        place = _place(out, opened.name, "probe")
        chosen = read_texts(texts, limit, labelled=True)
        with _bar(console) as bar:
            layers = opened.model.config.num_hidden_layers + 1
            task = bar.add_task("layers", total=layers * (2 if untrained else 1))
            probed, common = probing.probe(opened, chosen, pool, lambda: bar.advance(task), max_tokens)
            fresh = probing.probe(probing.untrained(opened), chosen, pool, lambda: bar.advance(task), max_tokens)[0] if untrained else []
        draw_probe(probed, common, place / f"probe.{plot}", fresh)
        page, plain = probe_page(opened.name, probed, common, fresh)
        write(place, page, f"probe.{plot}", plain)
        _show(console, page, place)


@understand_app.command("ablate")
def ablate_command(
    folder: Checkpoint, tokenizer: TokenizerFile = None, out: Out = None, plot: Plot = "svg", max_tokens: Most = 128, texts: Texts = None,
    limit: Annotated[int, typer.Option(help="texts that are read")] = 24,
    fill: Annotated[Literal["zero", "mean"], typer.Option(help="what a silenced part puts out")] = "mean",
    neurons: Annotated[int, typer.Option(min=0, help="MLP neurons tried in each layer, the first by a first-order estimate")] = 8,
) -> None:  # fmt: skip
    """Ablation: which heads, neurons and sublayers are missed? The rise of the loss without each, with its interval."""
    console = Console()
    with told(console):
        from slipway_training.understand.ablation import ablate
        from slipway_training.understand.figures import draw_ablations
        from slipway_training.understand.opened import open_checkpoint
        from slipway_training.understand.study import ablation_page, write
        from slipway_training.understand.texts import read_texts

        opened = open_checkpoint(folder, tokenizer)
        place = _place(out, opened.name, "ablate")
        chosen = [t.text for t in read_texts(texts, limit)]
        with _bar(console) as bar:
            task = bar.add_task("parts")
            found = ablate(opened, chosen, fill, neurons, lambda done, of: bar.update(task, completed=done, total=of), max_tokens)
        draw_ablations(found, place / f"ablate.{plot}")
        page, plain = ablation_page(opened.name, found)
        write(place, page, f"ablate.{plot}", plain)
        _show(console, page, place)


@understand_app.command("profile")
def profile_command(
    folder: Checkpoint, tokenizer: TokenizerFile = None, out: Out = None, plot: Plot = "svg",
    batch: Annotated[int, typer.Option(min=1)] = 4, length: Annotated[int, typer.Option(min=2, help="tokens of a row; 0 is not possible")] = 128,
    steps: Annotated[int, typer.Option(min=1, help="profiled steps")] = 3,
    train: Annotated[bool, typer.Option("--train", help="forward, backward and AdamW instead of forward alone; the folder is not changed")] = False,
    threads: Annotated[int, typer.Option(min=1)] = 1,
) -> None:  # fmt: skip
    """torch.profiler over a few steps: a Chrome trace, and the operators that cost most."""
    console = Console()
    with told(console):
        import torch

        from slipway_training.understand.figures import draw_profile
        from slipway_training.understand.opened import open_checkpoint
        from slipway_training.understand.study import profile_page, write
        from slipway_training.understand.trace import profile_steps

        torch.set_num_threads(threads)
        opened = open_checkpoint(folder, tokenizer)
        place = _place(out, opened.name, "profile")
        profiled = profile_steps(opened, batch, min(length, opened.context_tokens), steps, place / "trace.json", train=train)
        draw_profile(profiled, place / f"profile.{plot}")
        page, plain = profile_page(opened.name, profiled)
        write(place, page, f"profile.{plot}", plain)
        _show(console, page, place)


def _place(out: Path | None, name: str, command: str) -> Path:
    return writable(out or Path("runs/understand") / name.replace("/", "-") / command, "--out")


def _bar(console: Console) -> Progress:
    return Progress(console=console, disable=not console.is_terminal, transient=True)


def _show(console: Console, page: str, place: Path) -> None:
    console.print(Markdown(page))
    console.print(f"wrote {place}", highlight=False)
