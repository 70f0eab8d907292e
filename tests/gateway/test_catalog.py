"""The list of models: believed for a while, refreshed behind, asked again for a name that nobody knows."""

import asyncio
from typing import Any

from slipway_gateway.catalog import ModelCard, with_plain_names


def test_a_flavor_answers_to_its_models_plain_name() -> None:
    cards = [
        ModelCard(id="slipway-reader:int8", digest="sha256:1"),
        ModelCard(id="llama3:8b"),
        ModelCard(id="other:a", digest="d"),
        ModelCard(id="other"),
    ]
    listed = with_plain_names(cards)
    assert [card.id for card in listed] == ["slipway-reader", "slipway-reader:int8", "llama3:8b", "other:a", "other"]
    assert listed[0].model_dump()["root"] == "slipway-reader:int8" and listed[0].digest == "sha256:1"


async def test_callers_who_come_together_ask_for_the_list_once(start: Any) -> None:
    async with start(safety_url=None) as platform:
        await asyncio.gather(*(platform.chat() for _ in range(30)))
        assert platform.generator.listed == 1
