"""The sentence frames of the lookup source: how one kind of fact is stated, tabled and asked for.

`{e}` is the subject, `{E}` the same at a sentence start, `{t}` the subject deed in the third person, `{v}` the value.
It holds text only. Many phrasings per frame are the point: a question rarely uses the words of the passage.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Frame:
    """One kind of fact. `value` names its generator; `about` says whether the subject is a thing or a deed; `reverse` asks for the subject."""

    name: str
    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    rows: tuple[str, ...] = ("| {e} | {v} |", "| `{e}` | {v} |", "{E}: {v}")
    reverse: tuple[str, ...] = ()
    about: Literal["thing", "deed"] = "thing"


_CODE_ROWS = ("| `{v}` | {e} |", "| {e} | `{v}` |", "`{v}`: {e}", "`{v}` - {e}", "| `{v}` | {t} |")

FRAMES: tuple[Frame, ...] = (
    Frame(
        "port", "port",
        ("The {e} listens on port {v}.", "{E} uses port {v}.", "Port {v} belongs to the {e}.", "The {e} is reached at `http://127.0.0.1:{v}/`.",
         "By default the {e} answers on :{v}.", "`{e}` binds to 0.0.0.0:{v}.", "The {e} runs on port {v} unless told otherwise."),
        ("Which port does the {e} listen on?", "What port does {e} use?", "On which port is the {e}?", "What is the port of the {e}?", "{e} port?",
         "Where does the {e} listen?", "At which port can I reach the {e}?", "What is the default port of {e}?"),
        rows=("| {e} | {v} |", "| `{e}` | port {v} |", "{E} (port {v})", "{e}: :{v}"),
        reverse=("What listens on port {v}?", "Which service uses port {v}?", "What runs on {v}?"),
    ),
    Frame(
        "command", "command",
        ("`{v}` {t}.", "Run `{v}` to {e}.", "To {e}, run `{v}`.", "Use `{v}` if you want to {e}.", "You can {e} with `{v}`.", "The command `{v}` {t}.",
         "{v} {t}."),
        ("How do I {e}?", "How can I {e}?", "Which command {t}?", "What command do I run to {e}?", "What do I type to {e}?", "How to {e}?",
         "With which command can you {e}?", "What {t}?", "How does one {e}?"),
        rows=_CODE_ROWS, reverse=("What does `{v}` do?", "What does {v} do?", "What is {v} for?"), about="deed",
    ),
    Frame(
        "variable", "variable",
        ("Set `{v}` to {e}.", "`{v}` {t}.", "The environment variable `{v}` {t}.", "The setting {v} {t}.", "With `{v}` you can {e}."),
        ("Which environment variable {t}?", "Which variable do I set to {e}?", "What setting {t}?", "How do I {e}?", "Which setting lets me {e}?"),
        rows=_CODE_ROWS, reverse=("What does {v} do?", "What is `{v}` for?", "What does the variable {v} change?"), about="deed",
    ),
    Frame(
        "variable_of", "variable",
        ("The {e} is set by `{v}`.", "`{v}` moves the {e}.", "`{v}` changes the {e}.", "Set `{v}` to change the {e}.", "The {e} comes from `{v}`."),
        ("Which environment variable changes the {e}?", "Which variable sets the {e}?", "How do I change the {e}?", "What moves the {e}?",
         "Which setting controls the {e}?", "Where does the {e} come from?"),
        rows=("| `{v}` | {e} |", "| {e} | `{v}` |", "`{v}`: the {e}"), reverse=("What does {v} change?", "What does `{v}` set?"),
    ),
    Frame(
        "file", "path",
        ("The {e} is kept in `{v}`.", "{E} lives in `{v}`.", "The {e} is written to {v}.", "`{v}` holds the {e}.", "You find the {e} in `{v}`.",
         "The {e} is read from `{v}`.", "`{v}` contains the {e}."),
        ("Where is the {e} kept?", "Which file holds the {e}?", "Where is the {e}?", "Where do I find the {e}?", "In which file is the {e} stored?",
         "What is the path of the {e}?", "Which folder holds the {e}?", "Where does the {e} live?"),
        rows=("| `{v}` | {e} |", "| {e} | `{v}` |", "`{v}`: the {e}", "{v}   {e}"), reverse=("What is in `{v}`?", "What does {v} hold?", "What is {v}?"),
    ),
    Frame(
        "timeout", "seconds",
        ("The {e} waits {v}.", "The {e} times out after {v}.", "{E} runs every {v}.", "The {e} takes {v}.", "The {e} is kept for {v}.", "The {e} gives up after {v}."),
        ("How long does the {e} wait?", "How long does the {e} take?", "How long is the {e} kept?", "What is the timeout of the {e}?",
         "How often does the {e} run?", "After what time does the {e} give up?", "How long is the {e}?"),
    ),
    Frame(
        "limit", "size",
        ("The {e} holds at most {v}.", "The {e} is limited to {v}.", "{E} may have up to {v}.", "No more than {v} fit into the {e}.", "The limit of the {e} is {v}."),
        ("What is the limit of the {e}?", "How much does the {e} hold?", "How large may the {e} be?", "What is the maximum size of the {e}?",
         "How many fit into the {e}?", "How big is the {e}?"),
    ),
    Frame(
        "default", "choice",
        ("The default {e} is `{v}`.", "{E} defaults to {v}.", "Unless you say otherwise, the {e} is {v}.", "`{v}` is the default {e}.", "The {e} is {v} by default."),
        ("What is the default {e}?", "What does the {e} default to?", "Which {e} is used by default?", "What is the {e}?", "Which {e} is the default?"),
    ),
    Frame(
        "version", "version",
        ("The {e} needs version {v}.", "{E} is at version {v}.", "Version {v} of the {e} is supported.", "The {e} works from {v} on.", "{E} {v} is required."),
        ("Which version of the {e} is needed?", "What version is the {e}?", "Which version does the {e} need?", "From which version on does the {e} work?"),
    ),
    Frame(
        "author", "person",
        ("The {e} was written by {v}.", "{v} wrote the {e}.", "{v} maintains the {e}.", "The {e} is owned by {v}.", "{E} was founded by {v}.", "{v} leads the {e}."),
        ("Who wrote the {e}?", "Who maintains the {e}?", "Who owns the {e}?", "Who is behind the {e}?", "Who founded {e}?", "Who leads the {e}?"),
        reverse=("What did {v} write?", "What does {v} maintain?"),
    ),
    Frame(
        "when", "date",
        ("The {e} was founded in {v}.", "{E} began on {v}.", "Since {v} the {e} has been open.", "The {e} was removed on {v}.", "The {e} started in {v}."),
        ("When was the {e} founded?", "When did the {e} begin?", "When was the {e} removed?", "In what year did the {e} start?", "Since when has the {e} been open?"),
    ),
    Frame(
        "where", "place",
        ("The {e} is located in {v}.", "{E} stands in {v}.", "The {e} comes from {v}.", "The capital of {e} is {v}.", "{v} is home to the {e}."),
        ("Where is the {e} located?", "Where is the {e}?", "Where does the {e} come from?", "What is the capital of {e}?",
         "In which place is the {e}?"),
    ),
    Frame(
        "flag", "flag",
        ("Pass `{v}` to {e}.", "With `{v}` it {t}.", "`{v}` {t}.", "The flag `{v}` {t}.", "The option {v} {t}."),
        ("Which flag {t}?", "Which option {t}?", "What flag do I pass to {e}?", "How do I {e}?", "What {t}?"),
        rows=_CODE_ROWS, reverse=("What does {v} do?", "What is `{v}` for?", "What happens with {v}?"), about="deed",
    ),
    Frame(
        "purpose", "reason",
        ("The {e} is needed because {v}.", "{E} exists because {v}.", "The {e} is off because {v}.", "Because {v}, the {e} is needed."),
        ("Why is the {e} needed?", "Why does the {e} exist?", "Why is the {e} off?", "What is the reason for the {e}?"),
    ),
    Frame(
        "role", "deed",
        ("The {e} is there to {v}.", "{E} is used to {v}.", "The {e} can {v}.", "The job of the {e} is to {v}.", "Its {e} helps to {v}."),
        ("What is the {e} for?", "What does the {e} do?", "What is the job of the {e}?", "What can the {e} do?", "What is the {e} used for?"),
        reverse=("What is there to {v}?", "What can {v}?", "Which part is used to {v}?"),
    ),
    Frame(
        "header", "header",
        ("The header `{v}` carries the {e}.", "The {e} travels in `{v}`.", "`{v}` names the {e}.", "Send the {e} in the header {v}."),
        ("Which header carries the {e}?", "In which header is the {e} sent?", "Which header names the {e}?", "How is the {e} sent?"),
        rows=("| `{v}` | {e} |", "| {e} | `{v}` |"), reverse=("What does the header {v} carry?", "What is in `{v}`?"),
    ),
    Frame(
        "route", "route",
        ("The {e} is served at `{v}`.", "`GET {v}` returns the {e}.", "`POST {v}` creates the {e}.", "Call {v} for the {e}.", "The {e} endpoint is `{v}`."),
        ("Which endpoint returns the {e}?", "Where is the {e} served?", "What is the endpoint of the {e}?", "Which route gives the {e}?", "Which URL serves the {e}?"),
        rows=("| `{v}` | {e} |", "| {e} | `{v}` |"), reverse=("What does {v} return?", "What is at `{v}`?"),
    ),
    Frame(
        "status", "status",
        ("When the {e} fails, the answer is {v}.", "A missing {e} gives {v}.", "The {e} returns status {v}.", "Without the {e} the caller gets {v}."),
        ("Which status does the {e} return?", "What is returned when the {e} fails?", "What does a missing {e} give?", "Which code does the {e} give?"),
    ),
    Frame(
        "metric", "metric",
        ("The {e} is counted by `{v}`.", "`{v}` measures the {e}.", "The {e} shows up as {v}.", "The metric `{v}` tells how the {e} does."),
        ("Which metric counts the {e}?", "Which metric measures the {e}?", "How is the {e} measured?", "What shows the {e}?"),
        rows=("| `{v}` | {e} |", "| {e} | `{v}` |"), reverse=("What does {v} measure?", "What is `{v}`?"),
    ),
    Frame(
        "uses", "name",
        ("The {e} is built on {v}.", "{E} uses {v}.", "The {e} is written in {v}.", "The {e} is stored by {v}.", "{v} runs the {e}.", "{E} is called {v}."),
        ("What is the {e} built on?", "What does the {e} use?", "Which language is the {e} written in?", "What runs the {e}?", "What is the {e} called?"),
        reverse=("What is built on {v}?", "What uses {v}?"),
    ),
    Frame(
        "count", "number",
        ("The {e} has {v} parts.", "There are {v} of them in the {e}.", "{E} keeps {v} copies.", "The {e} counts {v} members.", "The {e} retries {v} times."),
        ("How many parts does the {e} have?", "How many are there in the {e}?", "How many copies does the {e} keep?", "How many members does the {e} have?",
         "How many times does the {e} retry?"),
    ),
    Frame(
        "share", "percent",
        ("The {e} makes up {v}.", "{E} grew by {v}.", "The {e} covers {v} of the whole.", "{v} go to the {e}."),
        ("How much does the {e} make up?", "By how much did the {e} grow?", "What share does the {e} cover?", "What percentage goes to the {e}?"),
    ),
    Frame(
        "key", "key",
        ("The {e} is turned on by `{v}`.", "`{v}` in the configuration switches the {e}.", "The key `{v}` names the {e}.", "Write `{v}` for the {e}."),
        ("Which key names the {e}?", "What turns on the {e}?", "Which configuration key switches the {e}?", "How is the {e} turned on?"),
        rows=("| `{v}` | {e} |", "| {e} | `{v}` |"), reverse=("What does `{v}` switch?", "What does the key {v} name?"),
    ),
    Frame(
        "next", "thing",
        ("After the {e} comes the {v}.", "The {e} hands over to the {v}.", "The {e} only calls the {v}.", "The {e} falls back to the {v}.",
         "The {e} depends on the {v}."),
        ("What comes after the {e}?", "What does the {e} call?", "What does the {e} fall back to?", "What does the {e} depend on?", "To what does the {e} hand over?"),
    ),
)  # fmt: skip
