"""The parts that belong to one loaded model, passed to the routes as one value. It refuses to know how they were made."""

from dataclasses import dataclass

from slipway_generator.adapters import Adapters
from slipway_generator.engine import Engine
from slipway_generator.model import ModelCard
from slipway_generator.settings import Settings
from slipway_generator.template import ChatTemplate
from slipway_generator.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine with its model's tokenizer and chat template; the engine was started."""

    card: ModelCard
    engine: Engine
    tokenizer: Tokenizer
    template: ChatTemplate
    settings: Settings

    def adapters(self) -> Adapters:
        """A registry for this model's adapters; the application makes one."""
        return Adapters(self.card, self.engine, self.settings)
