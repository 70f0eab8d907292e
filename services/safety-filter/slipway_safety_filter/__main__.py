"""`python -m slipway_safety_filter [--port N]`. Exits with 2 and one sentence where a setting cannot be used."""

import gc
import sys

gc.disable()  # imports leave no garbage, and looking for it takes time; `run` turns it on when the service is up

from slipway_shared.service import run

from slipway_safety_filter.app import create_app
from slipway_safety_filter.audit import AuditError
from slipway_safety_filter.own import OwnCheckError
from slipway_safety_filter.policy import PolicyError
from slipway_safety_filter.settings import SafetySettings

VARIABLES: dict[type[Exception], str] = {PolicyError: "POLICY_FILE", OwnCheckError: "OWN_CHECKS", AuditError: "AUDIT_FILE"}

if __name__ == "__main__":
    try:
        run("safety-filter", SafetySettings, create_app)
    except tuple(VARIABLES) as error:
        sys.stderr.write(f"settings: SLIPWAY_SAFETY_{VARIABLES[type(error)]}: {' '.join(str(error).split())}\n")
        raise SystemExit(2) from None
