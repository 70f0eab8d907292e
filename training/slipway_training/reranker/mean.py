"""`python -m slipway_training.reranker.mean ONE OTHER --out FOLDER`: the mean of two networks' weights, one of which was trained on from the other.

Half way between a network and what a further run made of it often keeps what either knows (Wortsman et al. 2022, WiSE-FT). Inputs are what `model.base` takes, the
window is the first one's, and the folder is what SLIPWAY_RERANKER_SCORER reads. It refuses to know training.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from slipway_training.errors import DataMissing, TrainingError
from slipway_training.pointer.train import base_folder
from slipway_training.reranker import start
from slipway_training.reranker.export import export, seal
from slipway_training.reranker.model import Reranker


def main(argv: Sequence[str] | None = None) -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(prog="slipway_training.reranker.mean", description=(main.__doc__ or "").strip())
    parser.add_argument("one", help="a folder that a reranker serves: its reading.json and tokenizer.json are taken too")
    parser.add_argument("other", help="a run of the recipe, or its served folder")
    parser.add_argument("--share", type=float, default=0.5, help="of the first one")
    parser.add_argument("--out", type=Path, required=True)
    wanted = parser.parse_args(argv)
    try:
        made = mean(start.load(wanted.one), start.load(wanted.other), wanted.share)
        served = base_folder(wanted.one)
        export(made.eval(), served / "tokenizer.json", wanted.out)
    except TrainingError as error:
        sys.stderr.write(f"mean: {error}\n")
        return 2
    if (served / "reading.json").is_file():
        shutil.copyfile(served / "reading.json", wanted.out / "reading.json")
    seal(wanted.out)
    sys.stdout.write(f"{wanted.out}: calibrate it with python -m slipway_reranker.calibrate\n")
    return 0


def mean(one: Reranker, other: Reranker, share: float) -> Reranker:
    """`one` with the weights share * one + (1 - share) * other; raises DataMissing where the two are not of one shape."""
    ours, theirs = one.state_dict(), other.state_dict()
    if {name: tensor.shape for name, tensor in ours.items()} != {name: tensor.shape for name, tensor in theirs.items()}:
        raise DataMissing("the two networks have not the same shape; a mean is for a network and what a further run made of it")
    one.load_state_dict({name: torch.lerp(theirs[name], ours[name], share) for name in ours})
    return one


if __name__ == "__main__":
    sys.exit(main())
