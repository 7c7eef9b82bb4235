"""Data: any file -> structures with labels under one name in one unit; splits, statistics and the data doctor.

Without torch: the Lab's own process reads and checks data. Only `data.loader` imports it.
"""

from .build_store import convert
from .check import Finding, findings
from .dataset import Dataset
from .reading import embedded_names, read
from .split import Split

__all__ = ["Dataset", "Finding", "Split", "convert", "embedded_names", "findings", "read"]
