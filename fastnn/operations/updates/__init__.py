"""Updates of the parameters, one file each."""
