"""Questions over country fields in wordings of our own; the development set asks about other countries and in other words.

It knows the shape of the factbook's JSON. It refuses to know which countries are held out.
"""

import html
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

_TAG = re.compile(r"<[^<>]{1,500}>")
_SPACE = re.compile(r"\s+")
LONGEST = 1200
GENERIC = ("{c} {f}", "{f} of {c}", "What is the {f} of {c}?", "Tell me about {f} in {c}.", "{c}: {f}?")
WORDINGS = {
    "Area": ("How big is {c}?", "How many square kilometres does {c} cover?", "size of {c}'s territory"),
    "Area - comparative": ("Which place is about as large as {c}?", "What can the size of {c} be compared to?"),
    "Location": ("Where on the map is {c}?", "On which continent does {c} lie?", "In what part of the world is {c} found?"),
    "Coastline": ("How many kilometres of shore does {c} have?", "Does {c} touch the sea, and for how long?"),
    "Climate": ("How is the weather in {c}?", "Is it hot or cold in {c}?", "What temperatures and rains does {c} see over the year?"),
    "Terrain": ("Is {c} mountainous or flat?", "Describe the landscape of {c}.", "Are there plains or hills in {c}?"),
    "Natural resources": ("Which minerals and raw materials does {c} possess?", "What riches lie in the ground of {c}?"),
    "Natural hazards": (
        "Which disasters threaten {c}?",
        "Are there earthquakes or floods in {c}?",
        "What dangers of nature does {c} face?",
    ),
    "Environmental issues": ("What pollution problems does {c} have?", "Is nature in trouble in {c}?"),
    "Elevation": ("What is the highest mountain of {c}?", "How high above the sea does {c} reach?", "lowest point in {c}"),
    "Land boundaries": (
        "Who are the neighbours of {c}?",
        "How long are the frontiers of {c}?",
        "What states does {c} share a border with?",
    ),
    "Land use": ("How much of {c} is forest or farmland?", "What share of {c}'s land is arable?"),
    "Population": ("How many inhabitants does {c} have?", "How many people live in {c}?", "number of residents in {c}"),
    "Population distribution": ("In which regions do most people of {c} live?", "Where is {c} most densely settled?"),
    "Urbanization": ("How many people of {c} live in cities?", "Is {c} a land of towns or villages?"),
    "Major urban areas - population": ("What are the largest cities of {c}?", "Which towns of {c} have the most inhabitants?"),
    "Ethnic groups": ("Which ethnicities make up {c}?", "What is the ethnic mix of {c}?"),
    "Languages": ("Which tongues are used in {c}?", "What is the official language of {c}?", "How would I talk to people in {c}?"),
    "Religions": ("Which faiths are followed in {c}?", "Is {c} mostly Christian or Muslim?", "churches and creeds of {c}"),
    "Capital": (
        "Where does the government of {c} sit?",
        "What is the main city of {c}'s state?",
        "time zone of the seat of government in {c}",
    ),
    "Government type": ("Is {c} a republic or a monarchy?", "What political system does {c} have?"),
    "Independence": ("Since when is {c} a sovereign state?", "From whom did {c} free itself?", "date on which {c} left colonial rule"),
    "National holiday": ("What day does {c} celebrate?", "On which date is {c}'s public festivity?"),
    "Constitution": ("When was the basic law of {c} adopted?", "How is the constitution of {c} amended?"),
    "Legal system": ("What kind of law do courts in {c} apply?", "Is the law of {c} civil law or common law?"),
    "Suffrage": ("How old must voters be in {c}?", "Who may take part in elections in {c}?"),
    "Executive branch": ("Who is the head of state of {c}?", "Who leads the government of {c}?", "president or prime minister of {c}"),
    "Legislative branch": ("How many seats has the parliament of {c}?", "What is the parliament of {c} called?"),
    "Judicial branch": ("What is the highest court of {c}?", "How are judges chosen in {c}?"),
    "Political parties": ("Which parties exist in {c}?", "Who can be voted for in {c}?"),
    "Citizenship": ("Can one get a passport of {c} by birth?", "How long must one live in {c} before naturalization?"),
    "Administrative divisions": ("Into which provinces is {c} divided?", "What are the regions of {c}?"),
    "Flag": ("What does the flag of {c} look like?", "Which colours are on the banner of {c}?"),
    "National symbol(s)": ("Which animal stands for {c}?", "What is the emblem of {c}?"),
    "National anthem(s)": ("Which song is the hymn of {c}?", "Who composed the anthem of {c}?"),
    "Industries": ("Which branches of industry are there in {c}?", "What do factories in {c} make?"),
    "Agricultural products": ("Which crops do farmers of {c} raise?", "What does {c} harvest?"),
    "Exports - commodities": ("What does {c} export?", "What are the main products that leave {c}?"),
    "Exports - partners": ("Who buys from {c}?", "To which countries does {c} sell?"),
    "Imports - commodities": ("What does {c} have to buy abroad?", "Which products come into {c}?"),
    "Imports - partners": ("Who supplies {c} with goods?", "Where do the imports of {c} come from?"),
    "Unemployment rate": ("How many people are out of work in {c}?", "Is it hard to find a job in {c}?"),
    "Inflation rate (consumer prices)": ("How fast do prices rise in {c}?", "How much dearer did life in {c} become?"),
    "Public debt": ("How indebted is the state of {c}?", "What does the government of {c} owe?"),
    "Population below poverty line": ("How many people in {c} are poor?", "share of the poor in {c}"),
    "Real GDP per capita": ("How wealthy is the average inhabitant of {c}?", "income per head in {c}"),
    "Real GDP growth rate": ("How fast does the economy of {c} grow?", "Is {c} in a recession?"),
    "Economic overview": ("How is the economy of {c} doing?", "What does {c} live on?"),
    "Exchange rates": ("What is the money of {c} worth in dollars?", "Which currency does {c} use?"),
    "Airports": ("Can one fly to {c}, and where does one land?", "number of airfields in {c}"),
    "Railways": ("How long is the train network of {c}?", "Are there trains in {c}?"),
    "Ports": ("Which harbours does {c} have?", "Where do ships land in {c}?"),
    "Merchant marine": ("How many trading ships sail for {c}?", "size of the merchant fleet of {c}"),
    "Internet users": ("How many people use the internet in {c}?", "Is everybody in {c} connected to the web?"),
    "Internet country code": ("Which top-level domain belongs to {c}?", "How do web addresses in {c} end?"),
    "Telephones - mobile cellular": ("How many cell phones are in {c}?", "Are mobile phones common in {c}?"),
    "Broadcast media": ("Which TV and radio stations are there in {c}?", "Who owns the television of {c}?"),
    "Electricity access": ("Does everyone in {c} have power at home?", "How many homes in {c} are electrified?"),
    "Electricity generation sources": ("Is the power of {c} made from coal or sun?", "How does {c} produce its electricity?"),
    "Carbon dioxide emissions": ("How much CO2 does {c} put into the air?", "climate gases from {c}"),
    "Drinking water source": ("Is tap water safe in {c}?", "Who in {c} has clean water?"),
    "Life expectancy at birth": ("How long do people in {c} live?", "At what age do people in {c} die on average?"),
    "Infant mortality rate": ("How many babies die in {c}?", "deaths of newborns in {c}"),
    "Birth rate": ("How many children are born in {c}?", "births per thousand people in {c}"),
    "Death rate": ("How many people die each year in {c}?", "deaths per thousand in {c}"),
    "Total fertility rate": ("How many children does a woman in {c} have?", "family size in {c}"),
    "Median age": ("Is the population of {c} young or old?", "Which age halves the people of {c}?"),
    "Age structure": ("How many children and pensioners live in {c}?", "share of people over 65 in {c}"),
    "Net migration rate": ("Do more people leave {c} than come?", "Is {c} a land of emigrants?"),
    "Literacy": ("Can most people in {c} read and write?", "How many adults in {c} are illiterate?"),
    "Education expenditure": ("How much does {c} spend on schools?", "money for teaching in {c}"),
    "Health expenditure": ("What does {c} pay for doctors and hospitals?", "medical spending in {c}"),
    "Physician density": ("How many doctors are there in {c}?", "Is it easy to find a doctor in {c}?"),
    "Obesity - adult prevalence rate": ("How many adults in {c} are overweight?", "Are people in {c} fat?"),
    "Alcohol consumption per capita": ("How much do people in {c} drink?", "beer, wine and spirits drunk in {c}"),
    "Tobacco use": ("How many people in {c} smoke?", "smokers in {c}"),
    "Military expenditures": ("How much does {c} spend on its army?", "defence budget of {c}"),
    "Military and security forces": ("Which armed forces does {c} have?", "Who defends {c}?"),
    "Military service age and obligation": ("Must young men in {c} serve as soldiers?", "Is there a draft in {c}?"),
    "Refugees and internally displaced persons": ("How many refugees does {c} shelter?", "displaced people in {c}"),
    "Illicit drugs": ("Is {c} on the route of drug smugglers?", "narcotics grown in or shipped through {c}"),
    "Terrorist group(s)": ("Which terrorists are active in {c}?", "armed extremists in {c}"),
    "Background": ("What is the history of {c}?", "How did {c} come to be?"),
    "Country name": ("What does {c} call itself?", "What was {c} called in former times?"),
    "Nationality": ("What are people from {c} called?", "adjective for someone from {c}"),
}


def countries(data: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Every country's short name with its fields as (name, text)."""
    for path in sorted((data / "factbook").glob("*__*.json")):
        raw = json.loads(path.read_text(encoding="utf-8"))
        fields = [(name, _flat(value)) for part in raw.values() if isinstance(part, dict) for name, value in part.items()]
        named = raw.get("Government", {}).get("Country name", {}).get("conventional short form", {})
        short = _flat(named).removeprefix("text: ")
        if short and short != "none":
            yield short, [(name, text[:LONGEST]) for name, text in fields if len(text) > 3]


def questions(country: str, field: str, rng: random.Random) -> list[str]:
    """One question for a field, two where we know wordings that share no word with it."""
    if field in WORDINGS:
        return [wording.format(c=country) for wording in rng.sample(WORDINGS[field], 2)]
    return [rng.choice(GENERIC).format(c=country, f=field.lower().replace(" - ", " "))] if rng.random() < 0.25 else []


def _flat(value: object) -> str:
    """A field as text: `part: value` for its parts, markup gone."""
    if isinstance(value, dict):
        parts = [(str(key), _flat(inner)) for key, inner in value.items() if key != "note"]
        return "; ".join(text if key == "text" else f"{key.strip()}: {text}" for key, text in parts if text)
    return _SPACE.sub(" ", html.unescape(_TAG.sub(" ", str(value)))).strip()
