"""Writes every generated file from its source, and finds files that differ from it."""
