"""The typed form of the names recipe's config.yaml.

It knows names, units, defaults and ranges. It refuses to know how anything is done.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slipway_training.config import Share
from slipway_training.costs import Price


class NamesConfig(BaseModel):
    """The whole recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 7
    name_lists: Annotated[
        str,
        Field(
            description="where the package faker 40.54.0 lies, whose lists names are drawn from; empty: installed; own: the few of templates.yaml"
        ),
    ] = ""
    per_template: Annotated[int, Field(ge=1, description="texts made of one template")] = 25
    sentences: Annotated[int, Field(ge=0, description="of each open folder, that name people, and as many that do not")] = 1200
    exchanges: Annotated[int, Field(ge=1, description="how often a sentence that names people comes, each time with other names")] = 1
    data_dir: Annotated[str, Field(description="the open folders; empty: SLIPWAY_DATA_DIR, else the templates alone")] = ""
    use_folders: Annotated[bool, Field(description="false: the templates alone, whatever the setting says")] = True
    spelling: Annotated[int, Field(ge=1, description="numbers that stand for a piece of a word's spelling")] = 16
    width: Annotated[int, Field(ge=1)] = 96
    inner: Annotated[int, Field(ge=1)] = 48
    dropout: Share = 0.3
    epochs: Annotated[int, Field(ge=1)] = 4
    rate: Annotated[float, Field(gt=0)] = 0.004
    decay: Annotated[float, Field(ge=0)] = 0.02
    batch_words: Annotated[int, Field(ge=1)] = 4000
    name_weight: Annotated[float, Field(gt=0, description="of the loss at a name's words")] = 1.5
    cache: Annotated[str, Field(description="where the service keeps the encoder that it converts from the MiniLM package")] = (
        ".slipway/safety"
    )
    price_per_hour: Price = 0.0
    out: str = "runs/names"
