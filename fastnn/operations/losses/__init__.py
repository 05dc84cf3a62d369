"""Losses of a network, one file each."""
