"""presidio-analyzer behind a pipe: run by the Python of a venv that has it, never by ours.

    python presidio_peer.py MODEL < LINES

Each line is a JSON list of texts, or a JSON string: the kind ("engine" or "bare") that the next lists go through. Each list is answered by one line:
CPU seconds, wall seconds, and per text the (entity, start, end) of the six kinds that both sides know. It refuses to know who asks.
"""

# pyright: reportMissingImports=false, reportUnknownLambdaType=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# (its libraries are those of another venv)

import json
import logging
import sys
import time
from typing import Any

KINDS = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "IP_ADDRESS", "IBAN_CODE")


def analyzers(model: str) -> dict[str, Any]:
    """The default engine (its recognisers, context words and language model), and the six bare recognisers without a language model."""
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer import predefined_recognizers as known
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]})
    engine = AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=["en"])
    names = ("EmailRecognizer", "PhoneRecognizer", "CreditCardRecognizer", "UsSsnRecognizer", "IpRecognizer", "IbanRecognizer")
    bare = [(getattr(known, name)(), kind) for name, kind in zip(names, KINDS, strict=True)]
    return {
        "engine": lambda text: engine.analyze(text, language="en"),
        "bare": lambda text: [found for recogniser, kind in bare for found in recogniser.analyze(text, [kind], None) or []],
    }


def main() -> None:
    logging.disable(logging.WARNING)
    known = analyzers(sys.argv[1])
    sys.stdout.write(json.dumps(sorted(known)) + "\n")
    sys.stdout.flush()
    analyse = known["engine"]
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, str):
            analyse = known[asked]
            continue
        cpu, wall = time.process_time(), time.perf_counter()
        found = [analyse(text) for text in asked]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        spans = [[(r.entity_type, r.start, r.end) for r in results if r.entity_type in KINDS and r.score >= 0.4] for results in found]
        sys.stdout.write(json.dumps({"cpu": cpu, "wall": wall, "spans": spans}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
