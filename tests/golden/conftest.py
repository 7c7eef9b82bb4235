"""What the golden tests share."""

import pytest

from atomlab.kernels import steady, use


@pytest.fixture(params=["reference", "numba"])
def backend(request):
    """The backends that must give another program's numbers."""
    with use(request.param), steady():
        yield
