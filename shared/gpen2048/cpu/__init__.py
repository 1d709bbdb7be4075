"""Levels of the network on CPUs, each one walk over memory.

`lane_*` and `winograd*` are for processors with vectors, `amx_*` for those with matrix tiles.
"""
