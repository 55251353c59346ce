"""The clients that the suite knows: NAME.toml or NAME.py, and NAME.xfails."""
