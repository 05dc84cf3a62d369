"""Names from other libraries and from courses, and what to write here instead."""

MEASURE = "call loss(x, t) and accuracy(x, t)"
# What to do instead of asking a network for an attribute of other libraries' models.
ATTRIBUTES = {
    **dict.fromkeys(("add", "add_module", "append"), "pass all layers to Network"),
    **dict.fromkeys(
        ("apply_gradients", "zero_grad"), "call step, or gradient, whose arrays are new; no gradients are added up"
    ),
    "build": "pass input_shape= to Network",
    "call": "call predict(x)",
    "check_gradients": "call fastnn.check_gradients(network, x, t)",
    "compile": "pass loss= to Network, and optimizer= and metrics= to fit",
    "copy": "call copy.deepcopy(network)",
    "eval": "leave it out: predict takes the running statistics and drops nothing",
    "evaluate": MEASURE,
    "forward": "call predict(x)",
    "fit_generator": "call fit on arrays, or step for each batch",
    **dict.fromkeys(("freeze", "requires_grad_", "trainable"), "call change_layers(0, trainable=False)"),
    "unfreeze": "call change_layers(trainable=True)",
    **dict.fromkeys(("grad", "grads"), "call gradient(x, t)"),
    **dict.fromkeys(("load", "load_weights"), "call fastnn.load(path)"),
    **dict.fromkeys(("load_state_dict", "set_weights"), "assign to params['W1'], ..., or call params.update"),
    "loss_": "call loss(x, t), or take history",
    **dict.fromkeys(
        ("coefs_", "get_weights", "intercepts_", "named_parameters", "parameters", "trainable_variables"),
        "take params, the arrays by name: params['W1'], params['b1'], ...",
    ),
    **dict.fromkeys(("modules", "children", "named_modules"), "take layers"),
    "partial_fit": "call fit again, which goes on, or step for one batch",
    **dict.fromkeys(("cpu", "cuda", "to"), "networks run on the CPU; pass dtype= to Network"),
    "predict_classes": "call predict(x).argmax(axis=1)",
    "save_weights": "call save(path)",
    "score": MEASURE,
    **dict.fromkeys(("state_dict", "weights"), "take params, or call save(path)"),
    "train": "call fit, or step for one batch",
    "train_on_batch": "call step(x, t, optimizer)",
}
# Names from courses and their code: the expression to write after "fastnn.".
OF_COURSES = {
    **dict.fromkeys(("cross_entropy_error", "cross_entropy_loss"), "cross_entropy(y, t, offset=1e-7, gradient=False)"),
    **dict.fromkeys(("eta", "learning_rate", "lr"), "SGD(lr=0.1)"),
    **dict.fromkeys(("function_1", "function_2"), "numerical_gradient(lambda x: (x**2).sum(), np.array([3.0, 4.0]))"),
    **dict.fromkeys(("init_network", "simpleNet", "SimpleNet"), "Network([fastnn.Affine(2, 3)])"),
    **dict.fromkeys(
        ("MultiLayerNet", "TwoLayerNet"), "Network([fastnn.Affine(784, 50), fastnn.Sigmoid(), fastnn.Affine(50, 10)])"
    ),
    "SimpleConvNet": (
        "Network([fastnn.Conv2d(1, 30, 5), fastnn.Relu(), fastnn.MaxPool2d(2), fastnn.Flatten(), "
        "fastnn.Affine(4320, 100), fastnn.Relu(), fastnn.Affine(100, 10)], input_shape=(1, 28, 28))"
    ),
    **dict.fromkeys(
        ("LeNet", "LeNet5"),
        "Network([fastnn.Conv2d(1, 6, 5, padding=2), fastnn.Relu(), fastnn.MaxPool2d(2), fastnn.Conv2d(6, 16, 5), "
        "fastnn.Relu(), fastnn.MaxPool2d(2), fastnn.Flatten(), fastnn.Affine(400, 120), fastnn.Relu(), "
        "fastnn.Affine(120, 84), fastnn.Relu(), fastnn.Affine(84, 10)], input_shape=(1, 28, 28))",
    ),
    **dict.fromkeys(("SoftmaxWithLoss", "softmax_loss", "softmax_with_loss"), "softmax_cross_entropy(x, t)"),
    **dict.fromkeys(("CostFunction", "MSE"), "mean_squared_error(y, t, gradient=False)"),
    "SigmoidWithLoss": "sigmoid_cross_entropy(x, t)",
    "Trainer": "Network.fit",
    "gradient_ascent": "gradient_descent(f, x, maximize=True)",
    "gradient_check": "check_gradients(net, x, t)",
    "identity_function": "identity(x)",
    "numerical_gradient_2d": "numerical_gradient(f, x)",
    "relu_grad": 'activation_backward("relu", np.ones_like(x), x, fastnn.relu(x))',
    "sigmoid_grad": 'activation_backward("sigmoid", np.ones_like(x), x, fastnn.sigmoid(x))',
    "step_function": "step(x)",
    "sum_squared_error": 'mean_squared_error(y, t, reduction="sum", gradient=False)',
    "tangent_line": "numerical_diff(f, x)",
}
REGRESSION = "fastnn.datasets.load_auto_mpg() has data for regression"
IMAGES = (
    "fastnn.datasets.load_mnist(flatten=False) and load_digits(flatten=False) have images; pass others as arrays"
    " (N, C, H, W)"
)
# What to do instead of asking datasets or models for a name of other libraries.
OF_DATASETS = {
    "load_boston": f"one of its columns is made of the share of Black residents, so libraries dropped it; {REGRESSION}",
    **dict.fromkeys(
        ("fetch_california_housing", "load_california_housing", "load_diabetes", "load_housing", "make_regression"),
        REGRESSION,
    ),
    **dict.fromkeys(("RandomRotation", "rotate"), "it is fastnn.datasets.rotate_images"),
    **dict.fromkeys(("RandomAffine", "RandomZoom", "scale_images", "zoom"), "it is fastnn.datasets.stretch_images"),
    **dict.fromkeys(
        (
            "CIFAR10",
            "FashionMNIST",
            "cifar10",
            "fashion_mnist",
            "ImageFolder",
            "load_cifar10",
            "load_cifar100",
            "load_fashion_mnist",
        ),
        IMAGES,
    ),
    **dict.fromkeys(("MNIST", "mnist"), "it is fastnn.datasets.load_mnist"),
    **dict.fromkeys(("load_iris", "load_wine", "load_breast_cancer"), "fastnn.datasets.load_digits() has classes"),
    **dict.fromkeys(
        ("DataLoader", "shuffle_dataset"), "fit takes arrays and draws batches; see fastnn.datasets.minibatches"
    ),
    **dict.fromkeys(
        ("to_categorical", "to_one_hot"), "it is fastnn.datasets.one_hot, but losses take labels as they are"
    ),
    "make_blobs": "it is fastnn.datasets.make_gaussians",
    "make_moons": "fastnn.datasets.make_spiral and make_circles draw classes that no line separates",
}
OF_MODELS = {
    **dict.fromkeys(("Ridge", "RidgeRegression"), "it is fastnn.models.LinearRegression(l2=...)"),
    **dict.fromkeys(("MCP", "McCullochPitts", "MPNeuron", "Neuron"), "it is fastnn.models.McCullochPittsNeuron"),
    **dict.fromkeys(("BernoulliRBM", "BoltzmannMachine", "RBM"), "it is fastnn.models.RestrictedBoltzmannMachine"),
    **dict.fromkeys(("DBN", "DeepBeliefNetwork"), "call fastnn.models.pretrain(net, x), and then net.fit(x, t)"),
    **dict.fromkeys(("AutoEncoder", "Autoencoder"), 'call fastnn.models.pretrain(net, x, method="autoencoder")'),
    **dict.fromkeys(("MTL", "MultiTaskLearning", "MultiTaskNet", "multi_task"), "it is fastnn.models.MultiTask"),
    "SparseAutoencoder": 'it is fastnn.models.MultiTask(encoder, {"x": decoder, "sparse": fastnn.models.SparseKL()})',
    **dict.fromkeys(
        ("ActivityRegularization", "activity_regularizer"),
        "penalties on activations, such as fastnn.models.SparseKL, are heads of fastnn.models.MultiTask",
    ),
    **dict.fromkeys(("Hebb", "hebb", "hebb_rule"), "it is fastnn.models.hebbian_update"),
    **dict.fromkeys(("DeltaRule", "delta_rule", "LMS"), "it is fastnn.models.delta_update"),
    **dict.fromkeys(("CNN", "MLP", "NeuralNetwork"), "it is fastnn.Network([...])"),
    "Perception": "it is fastnn.models.Perceptron",
    "Hopfield": "it is fastnn.models.HopfieldNetwork",
}
# Losses of other libraries: their names, the name of the network's loss, and what differs.
_NETWORKS_LOSS = 'pass loss="{}" to Network'
_SUMS, _LOGITS = "; it sums over the outputs of a sample", "; it takes logits, without an activation"
LOSSES = (
    (
        ("CategoricalCrossentropy", "CrossEntropyLoss", "SparseCategoricalCrossentropy"),
        "softmax_cross_entropy",
        _LOGITS,
    ),
    (("NLLLoss", "nll_loss"), "softmax_cross_entropy", "; it takes logits, without LogSoftmax"),
    (("BCEWithLogitsLoss",), "sigmoid_cross_entropy", _LOGITS + _SUMS),
    (
        ("BCELoss", "BinaryCrossentropy", "binary_cross_entropy", "binary_crossentropy"),
        "log_loss",
        f" after Sigmoid(), or sigmoid_cross_entropy without it{_SUMS}",
    ),
    (("MSELoss", "MeanSquaredErrorLoss"), "mean_squared_error", f"{_SUMS} and halves them"),
    (("L1Loss", "MAE"), "absolute_error", _SUMS),
    (("HuberLoss", "SmoothL1Loss", "smooth_l1_loss"), "huber", _SUMS),
    (("KLDivLoss", "kl_div"), "kl_divergence", _LOGITS),
    (("HingeEmbeddingLoss", "MultiMarginLoss"), "hinge", ""),
    (("PoissonNLLLoss",), "poisson", ""),
)
# What to do instead of asking the package for a name of other libraries.
OF_PACKAGE = {
    **OF_DATASETS,
    **OF_MODELS,
    **{name: f"write fastnn.{instead}" for name, instead in OF_COURSES.items()},
    "nn": "layers are fastnn.Affine, fastnn.Relu, ..., and fastnn.Network([...]) is made of them",
    "optim": "optimizers are fastnn.SGD, fastnn.Adam, ...",
    **dict.fromkeys(("Input", "InputLayer"), "pass input_shape= to Network"),
    **dict.fromkeys(("Dense", "Linear"), "it is Affine(inputs, outputs)"),
    **dict.fromkeys(("Tensor", "tensor"), "pass NumPy arrays"),
    "no_grad": "leave it out; only step, fit and gradient go backward",
    **dict.fromkeys(("manual_seed", "seed", "set_seed"), "pass rng=0 to Network and fit"),
    **dict.fromkeys(("Sequential", "Model", "Module"), "it is Network([...])"),
    **dict.fromkeys(("Conv2D", "Convolution", "Convolution2D"), "it is Conv2d, for images (channels, height, width)"),
    **dict.fromkeys(("conv2d", "convolve", "im2col"), "call conv2d_forward(x, W, b), which needs no im2col"),
    "col2im": "call conv2d_backward(dy, x, W), which needs no col2im",
    **dict.fromkeys(("Conv1D", "Conv1d"), "it is Conv2d with kernel_size=(1, n), for images of one row"),
    **dict.fromkeys(
        ("AveragePooling2D", "AvgPool2D", "MeanPool2d"), "it is AvgPool2d(2), for images (channels, height, width)"
    ),
    **dict.fromkeys(
        ("MaxPool2D", "MaxPooling2D", "Pooling"), "it is MaxPool2d(2), for images (channels, height, width)"
    ),
    **dict.fromkeys(
        ("BatchNorm1d", "BatchNorm2D", "BatchNorm2d", "BatchNormalization"), "it is BatchNorm(), also for images"
    ),
    **dict.fromkeys(
        ("AdaptiveAvgPool2d", "GlobalAveragePooling2D", "GlobalAvgPool2d"),
        "take AvgPool2d(size) with the size of the images there, and Flatten() after it",
    ),
    **dict.fromkeys(
        ("AdaptiveMaxPool2d", "GlobalMaxPool2d", "GlobalMaxPooling2D"),
        "take MaxPool2d(size) with the size of the images there, and Flatten() after it",
    ),
    **dict.fromkeys(("Reshape", "View"), "Flatten() makes rows of images; for images pass input_shape= to Network"),
    **{name: f"{_NETWORKS_LOSS.format(loss)}{note}" for names, loss, note in LOSSES for name in names},
    **dict.fromkeys(("ZeroPadding2D", "ZeroPad2d"), "pass padding= to Conv2d"),
    **dict.fromkeys(("MLPClassifier", "MLPRegressor"), "it is in fastnn.sklearn"),
    **dict.fromkeys(("clip_grad_norm", "clip_grad_norm_"), "pass clip_norm= to an optimizer"),
    **dict.fromkeys(("Dropout2D", "SpatialDropout2D"), "it is Dropout2d(0.5), for images (channels, height, width)"),
    "save": "call network.save(path)",
    **dict.fromkeys(("GridSearchCV", "RidgeCV", "validation_curve"), "it is fastnn.grid_search"),
    **dict.fromkeys(
        ("KFold", "cross_val_score"), "it is fastnn.cross_validate; fastnn.datasets.k_fold makes the folds"
    ),
    "load_model": "it is load(path)",
    "train": "call network.fit(x, t)",
    "find_lr": "it is find_learning_rate",
    "lr_find": "it is find_learning_rate",
    **dict.fromkeys(("BGD", "MBGD"), "pass batch_size= to network.fit; None takes all samples at once"),
    "EReLU": "it is Elu",
    "ModelCheckpoint": "it is Checkpoint",
    "StepLR": "it is fastnn.schedules.StepDecay(every, factor)",
    **dict.fromkeys(("CosineAnnealingLR", "CosineDecay"), "it is fastnn.schedules.Cosine(epochs)"),
    "ReduceLROnPlateau": "it is fastnn.schedules.ReduceOnPlateau",
    **dict.fromkeys(
        ("LambdaLR", "LearningRateScheduler", "MultiStepLR", "lr_scheduler"),
        "pass a function, or one of fastnn.schedules, as schedule= to fit",
    ),
    **{name: f"it is fastnn.Network.{name}" for name in ("from_keras", "from_onnx", "from_sklearn", "from_torch")},
    "PReLU": "it is PRelu",
}
# What to do instead of asking one of the classic models for an attribute, by an attribute that the model has.
MEASURES = {
    "accuracy": "call accuracy(x, t)",
    "loss": "call loss(x, t)",
    "energy": "call energy(x)",
    "free_energy": "call free_energy(x), which is lower for likelier samples",
}
OF_MODEL: dict[str, dict[str, str]] = {
    **{
        key: dict.fromkeys(("bias", "visible_bias", "store"), "it is weights")
        for key in ("W", "coef", "coef_", "components_", "w")
    },
    **{
        key: {"bias": "it is bias", "visible_bias": "there are hidden_bias and visible_bias"}
        for key in ("b", "bias", "intercept_")
    },
    **dict.fromkeys(("evaluate", "score"), MEASURES),
    "fit": {"store": "call store(patterns)"},
    **{
        key: {"predict": "call predict(x)", "recall": "call recall(x)", "transform": "call transform(x)"}
        for key in ("call", "forward", "predict")
    },
    **{
        key: {
            "predict_proba": "call predict_proba(x)",
            "predict": "it has no probabilities; call predict(x)",
            "transform": "call transform(x)",
        }
        for key in ("decision_function", "predict_proba")
    },
    **{
        key: {"params": "take params", "trunk": "take params", "weights": "take weights"}
        for key in ("get_weights", "parameters", "state_dict")
    },
    "r2_score": {"closed_form": "call fastnn.r2_score(t, model.predict(x))"},
    "save": {
        "trunk": "save the trunk and each network in heads: trunk.save(path), ...",
        "n": "save each network in networks",
        "bias": "pickle it, or save its weights and bias",
        "weights": "pickle it, or save its weights",
    },
    "summary": {"trunk": "call trunk.summary(), and summary of each network in heads"},
    "train": {"fit": "call fit", "store": "call store(patterns)"},
}
