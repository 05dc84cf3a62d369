"""The packages of the second volume."""
