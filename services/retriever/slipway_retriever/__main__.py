"""`python -m slipway_retriever`."""

from slipway_shared.service import run

from slipway_retriever.app import create_app
from slipway_retriever.settings import RetrieverSettings

if __name__ == "__main__":
    run("retriever", RetrieverSettings, create_app)
