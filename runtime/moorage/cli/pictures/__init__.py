"""Nodes and pods as a picture for a terminal: what it shows, where that is read, how it is drawn."""
