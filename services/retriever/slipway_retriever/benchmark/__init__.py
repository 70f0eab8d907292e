"""How fast embedding and search are, beside what users would pick otherwise, on this machine and in the same minutes."""
