"""Settings of the second volume."""

GPU = False
