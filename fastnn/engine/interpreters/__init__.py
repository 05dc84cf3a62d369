"""The compiled interpreters of plans."""
