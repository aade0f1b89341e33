"""Where clips come from, what is wrong with them, and which part each one is in."""
