"""Who may import whom in fastnn; the table that test_architecture.py holds the source against."""

BELOW_ALL: tuple[str, ...] = ("version", "errors", "folders", "checks", "reference_activations", "bench")
BELOW_ALL += ("kernels", "kernels.pipelines", "kernels.processor")
# What a module may import of fastnn. Arrows point one way: a module stands below all that it imports.
ARROWS = {
    **dict.fromkeys(BELOW_ALL, ""),
    "arrays": "checks",
    "reference": "reference_activations",
    "progress": "arrays",
    "datasets.splits": "arrays",
    "datasets.digits": "arrays datasets.splits",
    "datasets.mnist": "arrays datasets.splits errors folders progress",
    "datasets.folds": "arrays datasets.splits",
    "datasets.standardize": "arrays",
    "datasets": "datasets.*",
    "metrics": "arrays",
    "kernels.compile": "folders kernels.pipelines",
    "kernels.simd": "kernels.compile kernels.processor",
    "kernels.vector_math": "kernels.compile kernels.simd",
    "kernels.views": "kernels.simd",
    "kernels.job": "kernels.compile kernels.views",
    "kernels.sparse": "kernels.compile kernels.matmul kernels.processor kernels.simd",
    "kernels.matmul": "kernels.compile kernels.processor kernels.simd",
    "kernels.activations": "kernels.compile kernels.simd kernels.vector_math",
    "kernels.losses": "kernels.compile kernels.activations kernels.simd kernels.vector_math",
    "kernels.updates": "kernels.compile",
    "kernels.operations": "kernels.compile kernels.simd kernels.activations kernels.losses kernels.matmul "
    "kernels.updates",
    "kernels.network": "kernels.activations kernels.compile kernels.job kernels.losses kernels.matmul "
    "kernels.operations kernels.sparse kernels.updates kernels.views",
    "kernels.changes": "kernels.activations kernels.compile kernels.job kernels.losses kernels.matmul kernels.views",
    "kernels.perturbation": "kernels.activations kernels.changes kernels.compile kernels.job kernels.matmul "
    "kernels.network kernels.views",
    "kernels.differences": "kernels.compile",
    "threads": "kernels.compile",
    "initializers": "arrays",
    "layers": "arrays initializers kernels.activations",
    "optimizers": "arrays kernels.updates",
    "perturbation": "arrays errors threads kernels.*",
    "observation": "arrays",
    "functional": "arrays threads kernels.*",
    "plan": "layers kernels.activations kernels.job",
    "parameters": "arrays",
    "workspace": "arrays layers optimizers kernels.job kernels.matmul kernels.network kernels.sparse",
    "network": "workspace arrays errors initializers layers observation optimizers parameters perturbation plan "
    "threads kernels.*",
    "gradients": "arrays errors observation perturbation threads kernels.*",
    "gradient_check": "arrays checks observation perturbation kernels.activations",
    "training": "arrays errors network optimizers progress kernels.network",
    "persistence": "arrays checks errors layers network optimizers plan version kernels.losses kernels.updates",
    "environment": "arrays folders functional layers network optimizers threads training version kernels.*",
    "kernels.convolution": "kernels.activations kernels.compile kernels.matmul",
    "dropin.base": "",
    "dropin.record": "",
    "dropin.tape": "",
    "dropin.turns": "",
    "dropin.reach": "network dropin.tape",
    "dropin.backend": "arrays functional threads kernels.convolution",
    "dropin.recognition": "arrays layers dropin.tape kernels.losses",
    "dropin.engine": "arrays observation perturbation plan dropin.reach dropin.recognition dropin.tape",
    "dropin.direct": "arrays layers dropin.engine dropin.recognition dropin.record dropin.tape dropin.turns "
    "dropin.common.layers kernels.losses",
    "dropin.common.functions": "dropin.backend",
    "dropin.common.util": "dropin.backend",
    "dropin.common.optimizer": "dropin.backend dropin.base",
    "dropin.common.layers": "dropin.backend dropin.base dropin.common.functions dropin.common.util",
    "dropin.common.gradient": "errors dropin.engine dropin.record dropin.tape dropin.turns",
    "dropin.common.multi_layer_net": "dropin.direct dropin.common.gradient dropin.common.layers",
    "dropin.common.multi_layer_net_extend": "dropin.direct dropin.common.gradient dropin.common.layers "
    "dropin.common.multi_layer_net",
    "dropin.common.trainer": "dropin.common.optimizer",
    "dropin.common": "",
    "dropin.dataset": "",
    "dropin.dataset.mnist": "datasets datasets.mnist",
    "dropin.volume2": "",
    "dropin.volume2.common": "",
    "dropin.volume2.common.config": "",
    "dropin.volume2.common.np": "dropin.volume2.common.config",
    "dropin.volume2.common.functions": "dropin.backend dropin.common.functions dropin.volume2.common.config",
    "dropin.volume2.common.layers": "dropin.backend dropin.base dropin.volume2.common.config "
    "dropin.volume2.common.functions",
    "dropin.volume2.common.optimizer": "dropin.base dropin.common.optimizer dropin.volume2.common.config",
    "dropin.volume2.common.util": "dropin.volume2.common.config",
    "dropin.volume2.common.trainer": "dropin.volume2.common.util",
    "dropin.volume2.common.base_model": "dropin.base dropin.volume2.common.config dropin.volume2.common.util",
    "dropin.install": "",
    "dropin.script": "dropin.install dropin.record",
    "dropin": "dropin.install dropin.record",
    "demo": "arrays datasets environment gradients layers network optimizers training reference",
    "cli": "bench errors version dropin.script",
    "__main__": "cli",
    "__init__": "datasets environment errors functional gradient_check gradients layers metrics network "
    "optimizers persistence reference threads training version",
}
# What a function of a module may import when it is called: against the arrows, or to start quickly.
LATE_ARROWS = {
    "network": "training persistence",
    "cli": "arrays datasets datasets.* demo environment gradient_check layers network optimizers persistence threads "
    "training",
}
# Who may import more than NumPy and the standard library, anywhere in the file.
COMPILERS = {
    "kernels.compile": {"numba", "llvmlite"},
    "kernels.pipelines": {"numba"},
    "kernels.differences": {"numba"},
    "kernels.processor": {"numba"},
    "kernels.simd": {"numba", "llvmlite"},
    "kernels.views": {"numba"},
    "threads": {"numba"},
    "environment": {"numba", "llvmlite"},
    "cli": {"numba"},
}
