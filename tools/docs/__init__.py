"""The site of docs/: pages are staged, Zensical builds them in an environment of its own, and every link is checked.

Nothing but the staging knows the repository, and nothing but the command line in `__main__` knows the generator.
"""
