"""What every room of Slipway speaks: dialect, contracts, settings, metrics, logs. It imports no service, no torch and no engine."""
