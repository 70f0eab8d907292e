"""`python -m slipway_training`."""

from slipway_training.cli import main

main()
