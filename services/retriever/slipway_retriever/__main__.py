"""`python -m slipway_retriever`."""

import gc

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared.service import run

from slipway_retriever.app import create_app
from slipway_retriever.settings import RetrieverSettings

if __name__ == "__main__":
    run("retriever", RetrieverSettings, create_app)
