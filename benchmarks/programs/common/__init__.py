"""The modules that the programs here import, in NumPy alone. The drop-in takes their place."""
