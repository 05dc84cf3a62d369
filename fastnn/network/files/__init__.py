"""Files of networks and checkpoints: the containers .npz and .safetensors, and what stands in them."""
