"""numba's compiler and its cache on disk, all loops but those of `cpu/`, the threads they run on, and large pages."""
