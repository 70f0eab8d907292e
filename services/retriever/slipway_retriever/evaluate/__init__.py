"""How good search is, in figures: any BEIR-style folder in, measures with intervals and a report out."""
