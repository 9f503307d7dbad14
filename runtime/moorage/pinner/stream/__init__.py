"""The client of the instruction stream: its connection, and what it has to remember."""
