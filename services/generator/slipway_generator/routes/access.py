"""What every route takes from the application: the opened model, the meter, the request's context. It refuses to know what they are used for."""

from fastapi import Request
from slipway_shared import errors
from slipway_shared.context import RequestContext

from slipway_generator.adapters import Adapters
from slipway_generator.measured import Meter
from slipway_generator.opened import Opened


def opened(request: Request) -> Opened:
    """The model; Overloaded while it is still loading."""
    found = getattr(request.app.state, "opened", None)
    if not isinstance(found, Opened):
        raise errors.Overloaded("The model is still loading; try again.", code="loading", retry_after_seconds=2.0)
    if (problem := found.engine.load().problem) is not None:
        raise errors.Overloaded(f"The engine cannot serve: {problem}.", code="engine_failed", retry_after_seconds=5.0)
    return found


def adapters(request: Request) -> Adapters:
    """The registry of adapters, which generates with a lease on the one that a request uses."""
    opened(request)
    found = request.app.state.adapters
    assert isinstance(found, Adapters)
    return found


def meter(request: Request) -> Meter:
    """The generator's instruments."""
    found = request.app.state.meter
    assert isinstance(found, Meter)
    return found


def context(request: Request) -> RequestContext:
    """Trace, tenant and deadline of this request."""
    found = request.scope["state"]["context"]
    assert isinstance(found, RequestContext)
    return found
