"""Serves the components to programs in YAML and other languages. The engine starts it."""

from pulumi_moorage.host import main

if __name__ == "__main__":
    main()
