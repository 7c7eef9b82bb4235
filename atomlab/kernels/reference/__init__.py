"""Every operation's specification in plain torch, one file per kind."""

from .classical import lennard_jones, morse, stillinger_weber_three, stillinger_weber_two
from .segments import gather, segment_sum

__all__ = ["lennard_jones", "morse", "stillinger_weber_three", "stillinger_weber_two", "gather", "segment_sum"]
