"""`python -m slipway_generator`."""

import gc
import sys

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared import service

from slipway_generator.app import create_app
from slipway_generator.model import StartRefused
from slipway_generator.settings import Settings

if __name__ == "__main__":
    try:
        service.run("generator", Settings, create_app)
    except StartRefused as refused:
        sys.stderr.write(f"generator: {refused}\n")
        raise SystemExit(4) from None
