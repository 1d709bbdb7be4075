"""Passes and levels of the network as Triton kernels, and whole ones recorded as CUDA graphs."""
