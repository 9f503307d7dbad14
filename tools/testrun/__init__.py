"""Runs the tests: in several processes, within a time budget, and on several Pythons."""
