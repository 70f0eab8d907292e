"""A graph without its word table: the table is computed from a package that is installed anyway, and the file comes out byte for byte.

An encoder that was tuned from MiniLM has MiniLM's word table, quantized, but for a few steps of the last bit. Such a file is kept in the repository as a
safetensors file with everything but the table, and with the table's differences (most are zero, so they compress to little). `restore` puts it together.

It knows how the file is put together and held against its SHA-256. It refuses to know what a graph means, and which of its tensors the table is: that is
`slipway_training.export.borrow`.

Quantization is numpy's of ONNX Runtime: round(weight / scale) + zero point, half to even, clipped to a byte. Division and rounding of IEEE 754 floats are
exact to the bit, so every machine computes the same table.
"""

import hashlib
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from slipway_shared.packages import folder_of

SUFFIX = ".safetensors"
DIGESTS = ("manifest.json", "digests.json")
"""What names the SHA-256 of a model's files, beside them."""


class BorrowError(Exception):
    """A file cannot be put together; the message says what to do."""


class Recipe(BaseModel):
    """What stands in the header of a borrowing file: which file it makes, and where the table comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+$", description="below models/, such as slipway-reader/int8/model.onnx"),
    ]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    at: Annotated[int, Field(ge=0, description="byte of the file at which the table begins")]
    package: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", description="the installed package whose weights are read, never its code")]
    weights: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*\.safetensors$")]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    tensor: str
    scale: float
    zero_point: Annotated[int, Field(ge=0, le=255)]


def restore(borrowing: Path, models: Path) -> bool:
    """Write the file of `borrowing` below `models` unless it is there; True when it was written.

    A file with other bytes is replaced only where the digests beside it name the borrowing's (it was left by an older checkout); a model that somebody
    trained anew stays. Raises BorrowError and OSError.
    """
    recipe = read_recipe(borrowing)
    target = models / recipe.file
    if target.is_file():
        with target.open("rb") as handle:
            if hashlib.file_digest(handle, "sha256").hexdigest() == recipe.sha256:
                return False
        if not _is_named(target.parent, recipe.sha256):
            return False
    made = rebuild(borrowing, recipe)
    if (found := hashlib.sha256(made).hexdigest()) != recipe.sha256:
        raise BorrowError(
            f"{target} came out with SHA-256 {found[:12]} instead of {recipe.sha256[:12]}: {borrowing.name} was altered; fetch it anew from the repository"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".borrowed-", delete=False) as scratch:
        try:
            scratch.write(made)
            scratch.close()
            Path(scratch.name).chmod(0o644)
            Path(scratch.name).replace(target)
        except BaseException:
            Path(scratch.name).unlink(missing_ok=True)
            raise
    return True


def rebuild(borrowing: Path, recipe: Recipe) -> bytes:
    """The whole file in memory; raises BorrowError."""
    try:
        with safe_open(str(borrowing), framework="np") as parts:
            rest: NDArray[np.uint8] = parts.get_tensor("rest")
            packed: NDArray[np.uint8] = parts.get_tensor("differences")
            rows: NDArray[np.uint16] | None = parts.get_tensor("rows") if "rows" in parts.keys() else None  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as error:
        raise BorrowError(f"{borrowing} cannot be read: {error}") from error
    lent = lent_table(recipe, rows)
    try:
        differences = np.frombuffer(zlib.decompress(packed.tobytes()), dtype=np.int8)
    except zlib.error as error:
        raise BorrowError(f"{borrowing} was altered: {error}") from error
    if differences.size != lent.size:
        raise BorrowError(f"{borrowing} was altered: it holds {differences.size} differences for a table of {lent.size}")
    table = (lent.reshape(-1).astype(np.int16) + differences).astype(np.uint8)
    return b"".join((rest[: recipe.at].tobytes(), table.tobytes(), rest[recipe.at :].tobytes()))


def lent_table(recipe: Recipe, rows: NDArray[np.uint16] | None) -> NDArray[np.uint8]:
    """The package's table quantized as the recipe says, [rows, width]; `rows` picks and orders words. Raises BorrowError."""
    path = package_folder(recipe.package) / recipe.weights
    try:
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != recipe.weights_sha256:
            raise BorrowError(
                f"{path} has other weights than the model was tuned from; install the version of {recipe.package} that requirements/serve.lock names"
            )
        with safe_open(str(path), framework="np") as weights:
            table: NDArray[np.float32] = weights.get_tensor(recipe.tensor)
    except (SafetensorError, OSError) as error:
        raise BorrowError(f"{path} cannot be read: {error}") from error
    picked = table if rows is None else table[rows.astype(np.int64)]
    return np.clip(np.rint(picked / np.float32(recipe.scale)) + np.float32(recipe.zero_point), 0, 255).astype(np.uint8)


def package_folder(name: str) -> Path:
    """Where the lender lies; raises BorrowError."""
    folder = folder_of(name)
    if folder is None:
        raise BorrowError(f"the embedded models borrow their word table from the package {name}, which is not installed; run make setup")
    return folder


def read_recipe(borrowing: Path) -> Recipe:
    """The header; raises BorrowError."""
    try:
        with safe_open(str(borrowing), framework="np") as parts:
            header: Mapping[str, str] = parts.metadata() or {}
        return Recipe.model_validate(dict(header))
    except (SafetensorError, OSError, ValidationError) as error:
        raise BorrowError(f"{borrowing} is no file that borrows a table: {error}") from error


def _is_named(folder: Path, sha256: str) -> bool:
    return any((folder / name).is_file() and sha256 in (folder / name).read_text(encoding="utf-8") for name in DIGESTS)
