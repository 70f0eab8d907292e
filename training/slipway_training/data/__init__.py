"""From raw text of any kind to packed rows of tokens, with the provenance of every source carried to the end."""
