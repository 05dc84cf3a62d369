"""Interpreters of networks: what runs any plan, and knows no operation by name."""
