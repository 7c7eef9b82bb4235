"""Operations on bare tensors, without parameters: the one set of kernels under panels, command line, training and MD.

Models import operations from here by name; which backend runs is none of their business.
"""

from . import reference
from .dispatch import available, current, interactive, steady, use
from .reference import *  # noqa: F403
from .tables import radial_tables, repeated

__all__ = ["available", "current", "interactive", "radial_tables", "repeated", "steady", "use", *reference.__all__]
