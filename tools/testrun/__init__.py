"""How the tests are run: suites side by side, what they may take, and on which Pythons."""
