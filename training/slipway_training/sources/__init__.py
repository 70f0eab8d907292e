"""One file per source of pages; each turns raw text into `Page`s and names its provenance."""
