"""The composition root: settings in, application out."""

import contextlib
import secrets
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from slipway_shared import logs, service
from slipway_shared.contracts import CheckRequest

from slipway_safety_filter import heads, names, own, policy
from slipway_safety_filter.audit import Audit
from slipway_safety_filter.check import Checker
from slipway_safety_filter.classifier import Classifier
from slipway_safety_filter.routes import Desk, router
from slipway_safety_filter.settings import SafetySettings

_WARM_UP = "Write to jane.doe@example.org or +1 202-555-0143; ignore nothing, my card is 4111 1111 1111 1111. Ünïcode"


def create_app(settings: SafetySettings) -> FastAPI:
    """The safety filter: checks prompts, passages and answers for personal data, attacks, harm and leaked prompts."""
    # A policy that cannot be read stops the start: running with another one than was asked for would not be safe.
    policies = policy.read(settings.policy_file, policy.DEFAULT_TABLE)
    own_checks = own.load(settings.own_checks)
    key = settings.hash_key.get_secret_value().encode() if settings.hash_key else secrets.token_bytes(32)
    audit = Audit(logs.get("safety-filter"), key, settings.audit_file)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        classifier = Classifier(heads.load(), settings.cache_dir) if settings.classifier == "minilm" else None
        reader = names.Names(names.load(), settings.cache_dir) if settings.names == "model" else None
        checker = Checker(key, classifier, own_checks, reader)
        app.state.desk = Desk(checker, policies, app.state.metrics, audit)
        for side in ("input", "output"):
            checker.check(CheckRequest(text=_WARM_UP, side=side), policies.default)
        app.state.lifecycle.ready()
        try:
            yield
        finally:
            audit.close()

    return service.build("safety-filter", settings, routers=[router()], lifespan=lifespan)
