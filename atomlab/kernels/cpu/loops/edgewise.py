"""Template: what a kernel of a term begins with (`edgewise.py` writes the rest). The constants below are replaced.

Arrays are flat, rows of columns of `lanes` numbers. `cuts` are the receivers of each thread: what several of them add
to (rows of senders) has a copy for each.
"""

from atomlab.kernels.cpu.simd import kernel, vectors  # noqa: F401 (for the lines that follow)

REAL = "float32"
WIDTH = 8

S = vectors(REAL, WIDTH)
load, store, add, sub, mul, fill = S.load, S.store, S.add, S.sub, S.mul, S.fill
X, I = f"{REAL}[::1]", "int64[::1]"
