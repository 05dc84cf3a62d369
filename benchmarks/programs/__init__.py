"""Programs in the style of the two volumes, which take turns between NumPy and their package `common`."""
