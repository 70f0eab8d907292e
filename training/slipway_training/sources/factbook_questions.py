"""How people ask for a factbook field: special forms for well-known fields, general forms for all others.

It holds text only; `{c}` is the country, `{f}` the field, `{s}` the part of it.
"""

from random import Random

GENERAL_ONE = (
    "What is the {f} of {c}?", "What is {c}'s {f}?", "What {f} does {c} have?", "Tell me the {f} of {c}.", "{c} {f}?", "{f} in {c}?",
    "What does the source say about the {f} of {c}?", "For {c}, what is the {f}?", "How would you describe the {f} of {c}?",
)  # fmt: skip
GENERAL_TWO = (
    "What is the {f} of {c}, {s}?", "What is the {s} {f} of {c}?", "{c}: {f}, {s}?", "What is the {s} for {c} ({f})?", "Tell me the {f} ({s}) of {c}.",
    "In {c}, what is the {f} by {s}?", "What is {c}'s {s} in terms of {f}?", "What is the {s} of {c}?", "What does {c} have as {s}?",
)  # fmt: skip
SPECIAL: dict[str, tuple[str, ...]] = {
    "coastline": ("How long is the coastline of {c}?", "How long is {c}'s coast?", "What is the length of the coast of {c}?"),
    "location": ("Where is {c}?", "Where is {c} located?", "In which part of the world does {c} lie?"),
    "climate": ("What is the weather like in {c}?", "What climate does {c} have?", "How is the climate in {c}?"),
    "terrain": ("What does the land look like in {c}?", "What kind of terrain does {c} have?"),
    "elevation - highest point": ("What is the highest point in {c}?", "Which mountain is the highest in {c}?", "Where is {c} highest?"),
    "elevation - lowest point": ("What is the lowest point of {c}?", "Where does {c} lie lowest?"),
    "natural resources": ("Which natural resources does {c} have?", "What resources are found in {c}?", "What can be mined in {c}?"),
    "land boundaries - border countries": ("Which countries border {c}?", "What are the neighbours of {c}?", "Who are {c}'s neighbours?"),
    "land boundaries - total": ("How long are the land borders of {c}?", "What is the total length of {c}'s borders?"),
    "area - total": ("How large is {c}?", "What is the total area of {c}?", "How big is {c}?"),
    "population - total": ("How many people live in {c}?", "What is the population of {c}?", "How many inhabitants does {c} have?"),
    "nationality - noun": ("What are the people of {c} called?", "What do you call a person from {c}?"),
    "ethnic groups": ("Which ethnic groups live in {c}?", "What peoples live in {c}?"),
    "languages": ("Which languages are spoken in {c}?", "What do people speak in {c}?", "What is the official language of {c}?"),
    "religions": ("Which religions are there in {c}?", "What do people in {c} believe in?"),
    "median age - total": ("How old is the typical person in {c}?", "What is the median age in {c}?"),
    "birth rate": ("How many births are there in {c}?", "How high is the birth rate of {c}?"),
    "death rate": ("How many deaths per thousand people does {c} have?", "How high is the death rate in {c}?"),
    "life expectancy at birth - total population": ("How long do people live in {c}?", "What is the life expectancy in {c}?"),
    "capital - name": (
        "What is the capital of {c}?",
        "Which city is the capital of {c}?",
        "From where is {c} governed?",
        "Name {c}'s capital.",
    ),
    "capital - time difference": ("What is the time zone of {c}?", "Which time zone does the capital of {c} use?"),
    "country name - conventional long form": ("What is the official name of {c}?", "What is {c} called in full?"),
    "country name - former": ("What was {c} called before?", "What is the former name of {c}?"),
    "government type": ("How is {c} governed?", "What form of government does {c} have?"),
    "executive branch - chief of state": ("Who is the head of state of {c}?", "Who is the chief of state in {c}?", "Who leads {c}?"),
    "executive branch - head of government": ("Who is the head of government of {c}?", "Who heads the government in {c}?"),
    "independence": ("When did {c} become independent?", "Since when is {c} independent?"),
    "national holiday": ("When is the national holiday of {c}?", "What is the national day of {c}?"),
    "suffrage": ("Who may vote in {c}?", "From what age can people vote in {c}?"),
    "national symbol(s)": ("What is the symbol of {c}?", "Which animal or plant stands for {c}?"),
    "national color(s)": ("What are the national colours of {c}?", "Which colors stand for {c}?"),
    "national anthem(s) - title": ("What is the anthem of {c} called?", "What is the title of {c}'s anthem?"),
    "gdp (official exchange rate)": ("How large is the GDP of {c}?", "How big is the economy of {c}?"),
    "industries": ("Which industries does {c} have?", "What does {c} manufacture?"),
    "agricultural products": ("What is grown in {c}?", "What do farmers in {c} produce?"),
    "labor force": ("How many people work in {c}?", "How large is the labor force of {c}?"),
    "population below poverty line": ("How many people are poor in {c}?", "What share of {c} lives below the poverty line?"),
    "exports - partners": ("To which countries does {c} export?", "Who buys the goods of {c}?"),
    "exports - commodities": ("What does {c} export?", "Which goods does {c} sell abroad?"),
    "imports - partners": ("From which countries does {c} import?", "Where do {c}'s imports come from?"),
    "imports - commodities": ("What does {c} import?", "Which goods does {c} buy abroad?"),
    "internet country code": ("What is the internet domain of {c}?", "Which internet code does {c} have?"),
    "internet users - percent of population": ("How many people in {c} are online?", "What share of {c} uses the internet?"),
    "airports": ("How many airports does {c} have?", "How many airports are there in {c}?"),
    "railways - total": ("How long are the railways of {c}?", "How many kilometres of railway does {c} have?"),
    "ports - key ports": ("Which are the main ports of {c}?", "What are the key ports in {c}?"),
    "merchant marine - total": ("How many merchant ships does {c} have?", "How large is the merchant fleet of {c}?"),
    "legislative branch - legislature name": ("What is the parliament of {c} called?", "What is the name of {c}'s legislature?"),
}


def questions(rng: Random, country: str, path: tuple[str, ...], count: int = 2) -> list[str]:
    """Up to `count` different questions for one field; well-known fields prefer their special forms."""
    forms = list(GENERAL_ONE if len(path) == 1 else GENERAL_TWO)
    special = SPECIAL.get(" - ".join(path).lower(), ())
    chosen = [*rng.sample(special, k=min(count, len(special)))] if special and rng.random() < 0.8 else []
    chosen += rng.sample(forms, k=count - len(chosen))
    field, part = path[0], path[-1]
    return [_natural(form.format(c=country, f=_lower(field), s=_lower(part))) for form in chosen[:count]]


def _lower(label: str) -> str:
    """A label inside a sentence: `Real GDP` keeps its capitals, `Coastline` does not."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def _natural(question: str) -> str:
    return question[:1].upper() + question[1:]
