"""How every dry run ends: the hours that are expected on this machine, and what they cost.

It knows words and one price. It refuses to measure anything.
"""

from typing import Annotated

from pydantic import Field

Price = Annotated[float, Field(ge=0, description="of this machine, for the dry run")]
Rows = list[tuple[str, str]]


def ending(seconds: float, price: float, key: str, minutes: float = 0.0) -> Rows:
    """(what, value) of time and cost. `minutes`: the run's bound, 0 for none; `price` an hour, 0 where none was said: then `key` names the setting."""
    bound = 0 < 60 * minutes < seconds
    hours = (60 * minutes if bound else seconds) / 3600
    said = f" (bounded by run.minutes={minutes:g})" if bound else ""
    return [("expected", f"{hours:,.2f} h{said}"), ("cost", cost(hours, price, key))]


def cost(hours: float, price: float, key: str) -> str:
    """What so many hours cost, or how to say what one costs."""
    return f"{hours * price:,.2f} at {price:g} an hour" if price else f"{hours:,.2f} hours of it; {key}=... says what one costs"
