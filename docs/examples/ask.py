# ruff: noqa: T201
"""Ask the platform about its own documentation with the `openai` SDK, stream the answer, and print its citations.

    python docs/examples/ask.py "Which port does the edge listen on?"

SLIPWAY_BASE_URL and SLIPWAY_API_KEY name another installation; without them, the one that `make up` started is asked.
"""

import os
import sys
from pathlib import Path

from openai import OpenAI

question = " ".join(sys.argv[1:]) or "Which port does the edge listen on?"
key = os.environ.get("SLIPWAY_API_KEY") or Path(".slipway/key").read_text().strip()
client = OpenAI(base_url=os.environ.get("SLIPWAY_BASE_URL", "http://127.0.0.1:8080/v1"), api_key=key)

citations = []
stream = client.chat.completions.create(
    model="slipway-reader",
    messages=[{"role": "user", "content": question}],
    extra_body={"retrieval": {"top_k": 5}},
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
        citations += (choice.delta.model_extra or {}).get("annotations", [])
    if chunk.usage:
        print(f"\n\n{chunk.usage.prompt_tokens} + {chunk.usage.completion_tokens} tokens")

for citation in citations:
    if citation["type"] == "file_citation":
        print(f"[{citation['number']}] {citation['filename']}: {citation['quote'][:100]}")
    else:
        print(f"({citation['type']}: {citation['reason']})")
