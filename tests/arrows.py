"""Who may import whom in fastnn: the table that test_architecture.py checks the source against."""

# What a folder, or a module that stands directly in fastnn/, may import of the rest of fastnn. Arrows point one way.
ARROWS = {
    "version": "",
    "errors": "",
    "gate": "",
    "reference": "",
    "system": "gate",
    "kernels": "system",
    "operations": "gate kernels",
    **dict.fromkeys(("layers", "losses", "optimizers"), "gate operations"),
    "own_operations": "gate kernels losses operations",
    # Compiled: it sees tables of addresses, and no operation by name.
    "engine.interpreters": "kernels operations",
    "engine": "engine.interpreters errors gate kernels layers losses operations optimizers",
    "functional": "engine engine.interpreters gate kernels losses operations optimizers",
    "exchange": "engine errors gate layers losses system version",
    "network": "exchange engine engine.interpreters errors gate layers losses operations optimizers system version",
    "distributed": "engine errors gate network optimizers system",
    "schedules": "gate network",
    "observing": "engine gate layers operations reference system",
    "gradients": "engine engine.interpreters errors gate kernels observing operations system",
    "datasets": "errors gate system",
    "tables": "datasets errors gate system",
    "information": "gate",
    "validation": "datasets gate network system",
    "models": "datasets engine engine.interpreters errors functional gate kernels layers network operations optimizers "
    "system",
    "sklearn": "engine engine.interpreters errors gate layers losses network operations optimizers",
    "plots": "engine errors functional gate gradients network operations",
    "environment": "engine functional gate kernels layers network operations optimizers system version",
    "dropin": "datasets engine errors gate layers observing operations system",
    "__init__": "version",
    "demos": "__init__ gate layers models reference",
    "command": "datasets demos dropin environment errors gate gradients layers network optimizers reference system "
    "version",
    "playground": "datasets engine errors gate layers network operations",
    "prebuild": "engine engine.interpreters kernels operations",
    "__main__": "command",
}
# What a function may import when it is called: to start quickly, or because few need it.
LATE_ARROWS = {
    "__init__": "gate",
    "gradients": "network plots",
    "network": "plots",
    "dropin": "functional kernels",
    "demos": "plots command",
    "command": "engine functional operations playground schedules tables validation",
}
# Modules that may import more than NumPy and the standard library, anywhere in the file. The base classes of estimators
# are scikit-learn's, which needs SciPy.
COMPILERS = {
    "kernels.additions": {"numba", "llvmlite"},
    "kernels.addresses": {"numba", "llvmlite"},
    "kernels.caches": {"numba", "llvmlite"},
    "kernels.doors": {"numba"},
    "kernels.ground": {"numba"},
    "kernels.lists": {"numba", "llvmlite"},
    "kernels.transposes": {"numba", "llvmlite"},
    "kernels.objects": {"numba", "llvmlite"},
    "kernels.openmp": {"numba", "llvmlite"},
    "kernels.outer": {"numba", "llvmlite"},
    "kernels.units": {"numba"},
    "kernels.views": {"numba"},
    "engine.threads": {"numba"},
    "environment": {"numba", "llvmlite"},
    "exchange.torch_scale": {"torch"},  # as torch_step
    "exchange.torch_step": {"torch"},  # imported where there is PyTorch; its class has to be one that can be pickled
    "prebuild": {"numba", "llvmlite"},
    "sklearn.base": {"sklearn"},
    "sklearn.classifier": {"sklearn"},
    "sklearn.regressor": {"sklearn"},
    "sklearn.training": {"sklearn"},
    "sklearn.objective": {"scipy", "sklearn"},
    "sklearn.batches": {"scipy"},
    "sklearn.lbfgs": {"scipy", "sklearn"},
    "kernels.cache": {"numba", "llvmlite"},
    "kernels.clocks": {"numba", "llvmlite"},
    "kernels.compile": {"numba"},
    "kernels.pipelines": {"numba", "llvmlite"},
    "kernels.differences": {"numba"},
    "kernels.processor": {"numba"},
    "kernels.reductions": {"numba", "llvmlite"},
    "kernels.simd": {"numba", "llvmlite"},
    "kernels.tiles": {"numba", "llvmlite"},
    "kernels.loops": {"numba", "llvmlite"},
    "kernels.correlations": {"numba", "llvmlite"},
}
