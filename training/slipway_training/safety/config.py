"""The typed form of the safety recipe's config.yaml.

It knows names, units, defaults and ranges. It refuses to know how anything is done.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slipway_training.config import Share
from slipway_training.costs import Price

Rows = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PerTemplate(_Part):
    """How many texts are made of one template."""

    attacks: Annotated[int, Field(ge=1)] = 45
    harmless: Annotated[int, Field(ge=1)] = 40
    developers: Annotated[
        int, Field(ge=1, description="questions and manuals of developers: the harmless texts that look most like attacks")
    ] = 40
    harm: Annotated[int, Field(ge=1)] = 60
    short: Annotated[int, Field(ge=1, description="greetings, thanks, follow-ups, addresses: most of what is said in chats")] = 60


class DataConfig(_Part):
    """Rows taken from each source. Folders are those of SLIPWAY_DATA_DIR; one that is not there is left out and missing from the report's list."""

    bipia_injection: Rows = 900
    hate_davidson: Rows = 4000
    hh_rlhf_harmless: Rows = 1200
    squad_sample: Rows = 700
    openstax_text: Rows = 1500
    gsm8k_train: Rows = 500
    factbook: Rows = 800
    commonsense_mc: Rows = 600
    python_manual: Annotated[int, Field(ge=0, description="windows of the Python reference that every interpreter carries (PSF-2.0)")] = (
        1200
    )
    package_pages: Annotated[
        int, Field(ge=0, description="windows of the descriptions of installed packages; read only beside a data folder")
    ] = 3500


class DenseConfig(_Part):
    """The hidden layer over MiniLM's states: AdamW, one cycle."""

    hidden: Annotated[int, Field(ge=1)] = 48
    epochs: Annotated[int, Field(ge=1)] = 20
    rate: Annotated[float, Field(gt=0)] = 0.002
    decay: Annotated[float, Field(ge=0)] = 0.02
    dropout: Share = 0.3


class SparseConfig(_Part):
    """The linear reader over hashed words, pairs and triples."""

    epochs: Annotated[int, Field(ge=1)] = 6
    rate: Annotated[float, Field(gt=0)] = 0.02
    l1: Annotated[float, Field(ge=0, description="ten times this is taken off every weight after each epoch")] = 0.00002


class AttackConfig(_Part):
    """The operating point of the attack heads."""

    threshold: Annotated[float, Field(gt=0, lt=1, description="of the service's built-in policy")] = 0.6
    false_positives: Annotated[
        float,
        Field(gt=0, lt=0.5, description="share of the harmless rows that reaches it in the member that never saw them"),
    ] = 0.02


class SafetyConfig(_Part):
    """The whole recipe."""

    seed: int = 7
    taps: Annotated[
        tuple[int, ...],
        Field(
            min_length=1,
            description="MiniLM layers; on unseen sources the second and fourth rank as well as all six, at two thirds of the time",
        ),
    ] = (2, 4)
    per_template: PerTemplate = PerTemplate()
    embedded_share: Annotated[Share, Field(description="of the injections, put into a harmless passage")] = 0.35
    data: DataConfig = DataConfig()
    members: Annotated[
        int,
        Field(
            ge=2, le=16, description="pairs of readers; each is trained without its own fold of templates and rows, and calibrated on it"
        ),
    ] = 5
    attacks: AttackConfig = AttackConfig()
    dense: DenseConfig = DenseConfig()
    sparse: SparseConfig = SparseConfig()
    data_dir: Annotated[str, Field(description="the open folders; empty: SLIPWAY_DATA_DIR, else the templates alone")] = ""
    use_folders: Annotated[bool, Field(description="false: the templates alone, whatever the setting says")] = True
    cache: Annotated[str, Field(description="where the service keeps the encoder that it converts from the MiniLM package")] = (
        ".slipway/safety"
    )
    price_per_hour: Price = 0.0
    out: str = "runs/safety"
