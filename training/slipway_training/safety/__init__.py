"""The heads of the safety filter: the rows that they learn from, how they are fitted, and what is written."""
