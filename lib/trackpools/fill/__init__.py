"""Fill a verified playlist from a prompt and a pool.

The steps are: read the constraints, check that they can be met, choose the tracks, order them, and verify the
result. Only tracks that the caller passes in can be chosen.
"""
