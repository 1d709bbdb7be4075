"""What `inference.py` is made of: the published network folded, level by level, in plain PyTorch.

And what memory a pass takes, and how other implementations are proven against this one.
"""
