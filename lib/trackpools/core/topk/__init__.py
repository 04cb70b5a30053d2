from functools import partial

from trackpools._compat import moved

__getattr__ = partial(moved, __name__)  # names of the module of trackpools 0.1 that this package replaced
