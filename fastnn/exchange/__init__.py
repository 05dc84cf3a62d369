"""Networks of other libraries: PyTorch, Keras and scikit-learn's in memory, and ONNX files."""
