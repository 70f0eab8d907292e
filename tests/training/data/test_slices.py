from slipway_training.data.slices import GROUPS, Slices


def counted(text: str) -> Slices:
    slices = Slices()
    slices.add(text)
    return slices


def test_terms_are_whole_words_in_any_case() -> None:
    slices = counted("She said the WOMAN's sister saw him. Sherpa, hermit, shepherd.")
    assert slices.groups[("gender", "female")] == 3 and slices.groups[("gender", "male")] == 1
    assert slices.per_million("gender", "female") == 3 / slices.words * 1e6


def test_pronouns_near_an_occupation_count_once_each() -> None:
    slices = counted("The doctor said that she saw her patients. " + "word " * 30 + "The teachers knew that he would come.")
    assert slices.near["doctor"] == {"female": 1} and slices.near["teacher"] == {"male": 1}


def test_every_group_is_listed_also_when_it_is_silent() -> None:
    listed = counted("nothing here").as_dict()["per_million"]
    assert isinstance(listed, dict)
    assert {a: set(g) for a, g in listed.items()} == {a: set(g) for a, g in GROUPS.items()}


def test_no_term_stands_in_two_groups() -> None:
    terms = [t for groups in GROUPS.values() for words in groups.values() for t in words.split()]
    assert len(terms) == len(set(terms))
