"""Builds the site of docs/: stages the pages, builds them with Zensical in its own environment, and checks every link.

Only `staging` knows the repository, and only `__main__` knows the generator.
"""
