"""Programs in the style of the two volumes, which use NumPy and their package `common` in turn."""
