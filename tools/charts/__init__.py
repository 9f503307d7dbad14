"""Lints and packages the charts."""
