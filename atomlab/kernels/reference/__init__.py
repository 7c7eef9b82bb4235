"""Every operation's specification in plain torch, one file per kind."""

from .segments import gather, segment_sum

__all__ = ["gather", "segment_sum"]
