"""Activations, one file each."""
