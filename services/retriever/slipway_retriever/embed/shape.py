"""What a BERT checkpoint looks like from outside: its sizes, its pooling, its tensors by name. It refuses to know files and graphs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["mean", "cls"]
Weights = Callable[[str], NDArray[np.float32]]
"""A tensor by its name in the checkpoint; ModelMissing when there is none."""


class ModelMissing(Exception):
    """The embedding model cannot be used; the message names the setting, the file and the cause."""


@dataclass(frozen=True, slots=True)
class BertShape:
    """The fields of a BERT config.json that the graph depends on."""

    hidden: int
    layers: int
    heads: int
    epsilon: float
