"""Writes every file that has another file as its one source, and finds drift."""
