"""`python -m slipway_training portfolio pretrain`: the pretrain recipe in small with its ablations, its large form's cost, and what its flavors cost.

It knows options and the order of work. It refuses to know how anything is measured.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from slipway_training.outputs import writable
from slipway_training.told import told

if TYPE_CHECKING:
    from slipway_training.portfolio.report import Served

portfolio_app = typer.Typer(no_args_is_help=True, help="A recipe's proof in small: one command, one report.")


@portfolio_app.callback()
def _group() -> None:
    """A recipe's proof in small: one command, one report."""


@portfolio_app.command("pretrain")
def portfolio_pretrain(
    legs: Annotated[Path | None, typer.Option(help="a YAML of legs; default: ablations/legs.yaml of the recipe")] = None,
    out: Annotated[Path, typer.Option(help="where runs are kept; a finished one is not run again")] = Path("runs/portfolio-pretrain"),
    report: Annotated[Path | None, typer.Option(help="folder of the report; default: --out/report")] = None,
    minutes: Annotated[float, typer.Option(min=0, help="no run is begun that would end after this; 0: all runs")] = 0.0,
    full: Annotated[
        bool, typer.Option(help="also measure the flavors of the 300M shape (untrained weights; 3 GB of memory, 1 GB of disk)")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="of llama.cpp while flavors are measured")] = 1,
    data_dir: Annotated[str, typer.Option(help="default: SLIPWAY_DATA_DIR, else the repository's own text")] = "",
    tiny_form: Annotated[bool, typer.Option("--tiny", help="two legs of a few thousand tokens: every step in under a minute")] = False,
) -> None:
    """Run every leg and seed, write the ablations with intervals, the muP transfer, the 300M form's cost and the flavors' latency and memory.

    Restartable: the same words go on after the last finished run.
    """
    console = Console()
    with told(console):
        from slipway_training.portfolio.legs import run_all
        from slipway_training.portfolio.plan import LEGS, load_plan, tiny
        from slipway_training.portfolio.report import write_report
        from slipway_training.recipes import FOLDER, recipe

        writable(out, "--out")
        plan = load_plan(legs or LEGS)
        plan = tiny(plan) if tiny_form else plan
        made = run_all(plan, out, minutes, console, data_dir)
        large = recipe("pretrain")
        config = large.load(FOLDER / "pretrain" / "config.300m.yaml", [], tiny=False)
        served = _serve(plan_seed=plan.seeds[0], out=out, threads=threads, full=full, console=console)
        page = write_report(report or out / "report", plan, made, large.dry_run(config), served)
        console.print(page, highlight=False, markup=False, soft_wrap=True)


def _serve(plan_seed: int, out: Path, threads: int, *, full: bool, console: Console) -> "Served":
    """The flavors of the full recipe's first run, where it is finished, and of the 300M shape, where that is asked for."""
    from slipway_training.data.packed import open_packed
    from slipway_training.portfolio import flavors
    from slipway_training.portfolio.plan import FULL
    from slipway_training.portfolio.report import Served
    from slipway_training.pretrain.config import PretrainConfig
    from slipway_training.pretrain.order import Order
    from slipway_training.recipes import FOLDER, recipe

    served, hf = Served(), out / f"{FULL}-{plan_seed}" / "hf"
    if hf.is_dir():
        console.print("flavors of the small model", highlight=False)
        paths, packed = flavors.of_folder(hf, out / "flavors"), open_packed(out / "rows")
        served.costs["small"] = flavors.measure(paths, packed.context, packed.context - 16, 16, threads)
        rows = packed.rows(Order((len(packed),), held_out=min(64, len(packed) - 1), seed=0).held_out)
        served.gaps.update(flavors.loss_gaps(flavors.losses(paths, rows)))
    if full:
        console.print("flavors of the 300M shape", highlight=False)
        config = recipe("pretrain").load(FOLDER / "pretrain" / "config.300m.yaml", [], tiny=False)
        assert isinstance(config, PretrainConfig)
        folder = out / "flavors-300m"
        served.costs["300M shape"] = flavors.measure(flavors.of_shape(config, 2048, folder), 512, 256, 64, threads)
        shutil.rmtree(folder)
    return served
