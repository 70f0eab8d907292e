"""LangChain's own standard suites: the chat model on the stand-in (planner.py says why), and again without tools on the shipped model; embeddings on MiniLM.

What a suite asks of a model that no text model of ours can do is switched off by the suite's own properties: images, audio and PDFs.
"""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(240),
    # Warnings of the libraries about each other, not about what we answered.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
    pytest.mark.filterwarnings("ignore:Received a Pydantic BaseModel V1 schema:UserWarning"),
]


class _OnTheHouse:
    """Where the models are. Asynchronous connections are each test's own: the library would share them with the next test, whose event loop is another."""

    house: Any
    connections: httpx.AsyncClient

    @pytest.fixture(autouse=True)
    async def settled(self, house: Any) -> AsyncGenerator[None]:
        self.house = house
        async with httpx.AsyncClient() as self.connections:
            yield

    def where(self, url: str) -> dict[str, Any]:
        return {"base_url": f"{url}/v1", "api_key": self.house.key, "max_retries": 0, "http_async_client": self.connections}


class TestChatOnTheStandIn(_OnTheHouse, ChatModelIntegrationTests):
    """Every test of the suite that is about text."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.house.planner, "stream_usage": True, **self.where(self.house.planner_url)}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "planner"


class TestChatOnTheShippedModel(_OnTheHouse, ChatModelIntegrationTests):
    """The same without tools and structured output: a decoder of 15 million parameters, trained to quote, fills arguments with what its grammar allows
    and not with what was asked."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        own = {"model": self.house.model, "stream_usage": True, "max_tokens": 24, "extra_body": {"retrieval": False}}
        return {**own, **self.where(self.house.url)}

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False


class TestEmbeddings(_OnTheHouse, EmbeddingsIntegrationTests):
    """The embeddings suite."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        # The server counts tokens by the model's own tokenizer; the client knows OpenAI's only.
        return {"model": "minilm", "check_embedding_ctx_length": False, **self.where(self.house.url)}
