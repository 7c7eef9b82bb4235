"""Template: what a kernel of a formula begins with (`pointwise.py` writes the rest). The constants below are replaced.

Arrays are flat, column after column, each of `rows` numbers, of which there are WIDTH at least; vectors hold the same
number of several rows. The last block of a share overlaps the one before it: it computes the same numbers again.
"""

from atomlab.kernels.cpu.mathematics import mathematics
from atomlab.kernels.cpu.simd import kernel, vectors  # noqa: F401 (for the lines that follow)

REAL = "float32"
WIDTH = 16
STAMP = ""  # of the mathematics

S, M = vectors(REAL, WIDTH), mathematics(REAL, WIDTH)
load, store, add, sub, mul, div, fill = S.load, S.store, S.add, S.sub, S.mul, S.div, S.fill
root, pick, exp, sigmoid, sine, cosine = M.root, M.pick, M.exp, M.sigmoid, M.sine, M.cosine
X = f"{REAL}[::1]"
