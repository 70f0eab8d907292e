"""Files to text with structure. Everything here runs in a process of its own, with bounds on time and memory."""
