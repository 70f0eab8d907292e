# ruff: noqa: T201
"""A ReAct agent on LangGraph: the model thinks, calls a tool, reads its result, and so on, within a budget of steps and tokens.

    python docs/examples/agent.py --model MODEL "Search for what a flavor is." [--steps 6] [--tokens 4000]

Its tools are the search of the platform's own documents, and sums. Any model of the platform that can call tools will do (`docs/your-own-model.md`; the
shipped reader only quotes). SLIPWAY_BASE_URL and SLIPWAY_API_KEY name another installation; without them, the one that `make up` started is asked.
Needs: pip install langgraph langchain-openai
"""

import argparse
import os
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from openai import OpenAI
from pydantic import SecretStr

BASE_URL = os.environ.get("SLIPWAY_BASE_URL", "http://127.0.0.1:8080/v1")


class State(TypedDict):
    """The conversation, and what it has used so far."""

    messages: Annotated[list[AnyMessage], add_messages]
    steps: int
    tokens: int


def agent(model: str, key: str, *, steps: int, tokens: int) -> Any:
    """The graph: model and tools in turn, until the model calls no tool, or `steps` model calls or `tokens` tokens are used."""

    @tool
    def search_documents(query: str) -> str:
        """Search the platform's documents for passages about `query`."""
        found = OpenAI(base_url=BASE_URL, api_key=key).vector_stores.search("vs_default", query=query, max_num_results=2)
        return "\n".join(hit.content[0].text for hit in found) or "Nothing was found."

    @tool
    def add_numbers(a: float, b: float) -> float:
        """Add two numbers."""
        return a + b

    tools = [search_documents, add_numbers]
    # Retrieval is the tool's work here, so the gateway shall not search by itself.
    llm = ChatOpenAI(model=model, base_url=BASE_URL, api_key=SecretStr(key), extra_body={"retrieval": False}).bind_tools(tools)

    def think(state: State) -> dict[str, Any]:
        answer = llm.invoke(state["messages"])
        used = (answer.usage_metadata or {}).get("total_tokens", 0)
        return {"messages": [answer], "steps": state["steps"] + 1, "tokens": state["tokens"] + used}

    def give_up(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage(f"I stopped: the budget of {steps} steps and {tokens} tokens is used up.")]}

    def after_thinking(state: State) -> str:
        if not getattr(state["messages"][-1], "tool_calls", None):
            return END
        return "give_up" if state["steps"] >= steps or state["tokens"] >= tokens else "tools"

    graph = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_node("give_up", give_up)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", after_thinking, ["tools", "give_up", END])
    graph.add_edge("tools", "think")
    graph.add_edge("give_up", END)
    return graph.compile()


def main() -> None:
    """Ask one question and print every step."""
    parser = argparse.ArgumentParser(description="A ReAct agent with a budget, on Slipway.")
    parser.add_argument("question")
    parser.add_argument("--model", required=True, help="a model of GET /v1/models that can call tools")
    parser.add_argument("--steps", type=int, default=6, help="model calls at most (default 6)")
    parser.add_argument("--tokens", type=int, default=4000, help="tokens at most (default 4000)")
    given = parser.parse_args()
    key = os.environ.get("SLIPWAY_API_KEY") or Path(".slipway/key").read_text().strip()
    graph = agent(given.model, key, steps=given.steps, tokens=given.tokens)
    start: State = {"messages": [HumanMessage(given.question)], "steps": 0, "tokens": 0}
    done: dict[str, Any] = {}
    for done in graph.stream(start, {"recursion_limit": 2 * given.steps + 5}, stream_mode="values"):
        last = done["messages"][-1]
        for call in getattr(last, "tool_calls", None) or []:
            print(f"calls {call['name']} {call['args']}")
        if last.type == "tool":
            print(f"reads {str(last.content)[:100]}")
    print(f"\n{done['messages'][-1].content}\n\n{done['steps']} steps, {done['tokens']} tokens")


if __name__ == "__main__":
    main()
