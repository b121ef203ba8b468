"""What the core asks of the outside: one file for each port, with the values that pass through it."""
