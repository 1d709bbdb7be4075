"""Thousands of pictures and whole films: what is done is on record, so a run that was killed goes on where it was.

`sources` finds what there is to do, `claims` refuses what would be lost by it, `manifest` knows what has been done,
`running` does the rest on the seats of an engine: threads of this process (`engine_local`) or workers of a Ray cluster
(`engine_ray`).
"""
