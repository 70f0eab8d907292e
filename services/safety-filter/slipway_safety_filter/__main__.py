"""`python -m slipway_safety_filter [--port N]`."""

import gc

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared.service import run

from slipway_safety_filter.app import create_app
from slipway_safety_filter.settings import SafetySettings

if __name__ == "__main__":
    run("safety-filter", SafetySettings, create_app)
