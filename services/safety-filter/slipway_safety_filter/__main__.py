"""`python -m slipway_safety_filter [--port N]`. Exits with 2 and one sentence where a setting cannot be used."""

import gc
import sys

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared.service import run

from slipway_safety_filter.app import create_app
from slipway_safety_filter.own import OwnCheckError
from slipway_safety_filter.policy import PolicyError
from slipway_safety_filter.settings import SafetySettings

if __name__ == "__main__":
    try:
        run("safety-filter", SafetySettings, create_app)
    except (PolicyError, OwnCheckError) as error:
        variable = "POLICY_FILE" if isinstance(error, PolicyError) else "OWN_CHECKS"
        sys.stderr.write(f"settings: SLIPWAY_SAFETY_{variable}: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from None
