"""How good a reader is: sets, scores with intervals, the extractive baseline beside it, and the parity of flavors."""
