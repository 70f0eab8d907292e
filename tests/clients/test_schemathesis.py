"""Schemathesis reads our OpenAPI document and tries what it says and what it does not: every answer must be one that the document tells of, and none a 500.

Three of its checks are left out. "Valid data is accepted": whether a cursor, a token or a model exists, or two fields fit together, no schema can say.
"Invalid data is rejected": a number in quotes is read as a number. "No answer without a key": it leaves our header in place; tests/gateway/test_door.py
walks all routes for that.
"""

from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from slipway_gateway.app import create_app
from slipway_gateway.settings import GatewaySettings

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]
EXAMPLES = 8
DOCUMENT = schemathesis.openapi.from_dict(create_app(GatewaySettings.model_validate({"redis_url": None})).openapi())
OPERATIONS: list[Any] = [cast("Any", found).ok() for found in DOCUMENT.get_all_operations()]
load_all_checks()
LEFT_OUT: Any = CHECKS.get_by_names(["positive_data_acceptance", "negative_data_rejection", "ignored_auth"])
TRIED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as_told", "otherwise"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_one_that_the_document_tells_of(operation: Any, mode: GenerationMode, house: Any) -> None:
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return  # there is nothing that could be otherwise

    @TRIED
    @given(case=operation.as_strategy(generation_mode=mode))
    def tried(case: Any) -> None:
        case.call_and_validate(base_url=house.url, headers={"authorization": f"Bearer {house.key}"}, excluded_checks=LEFT_OUT, timeout=60)

    tried()


def test_an_unknown_method_is_told_which_there_are(house: Any) -> None:
    answer = httpx.request("OPTIONS", f"{house.url}/v1/vector_stores/vs_default/files/f", headers={"authorization": f"Bearer {house.key}"})
    assert answer.status_code == 405 and answer.headers["allow"] == "DELETE, GET, POST"
    assert answer.json()["error"]["type"] == "invalid_request_error"
