"""What `inference.py` is made of: the published network with everything folded, level by level, in plain PyTorch."""
