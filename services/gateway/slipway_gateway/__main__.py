"""The gateway's entry point: `python -m slipway_gateway [--port N]`. It knows nothing but names."""

import gc

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared.service import run

from slipway_gateway.app import create_app
from slipway_gateway.settings import GatewaySettings

if __name__ == "__main__":
    run("gateway", GatewaySettings, create_app)
