"""What the programs here import, in NumPy alone. The drop-in takes its place."""
