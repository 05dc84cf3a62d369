"""The package `common` of the first volume: functions, gradient, layers, networks, optimizers, trainer, util."""
