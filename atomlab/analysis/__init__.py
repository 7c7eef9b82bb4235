"""What a model knows: descriptors of atomic environments, similarity to a training set, maps.

Importing this imports neither torch nor umap; they are imported by the functions that compute.
"""

from .descriptors import descriptors
from .projection import project
from .report import Report
from .similarity import similarity

__all__ = ["Report", "descriptors", "project", "similarity"]
