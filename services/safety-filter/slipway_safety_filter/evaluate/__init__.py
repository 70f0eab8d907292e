"""The red team's report: how well the filter finds what it should, and leaves alone what it should. Nothing of this is loaded while serving."""
