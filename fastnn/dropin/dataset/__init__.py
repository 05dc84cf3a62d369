"""The package `dataset` of the first volume: mnist."""
