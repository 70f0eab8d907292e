"""`python -m slipway_reranker`."""

import gc

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared.service import run

from slipway_reranker.app import create_app
from slipway_reranker.settings import RerankerSettings

if __name__ == "__main__":
    run("reranker", RerankerSettings, create_app)
