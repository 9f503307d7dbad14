"""Empties nodes whose pods fit elsewhere; what is here by now says which nodes may go, and what holds the others."""
