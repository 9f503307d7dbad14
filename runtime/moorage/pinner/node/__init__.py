"""The life of one node: observed, decided, executed, and answered, from the promise until it is adopted or gone."""
