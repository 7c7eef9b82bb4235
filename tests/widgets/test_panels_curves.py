"""What the curves of a fine-tune are made of."""

import numpy as np

from atomlab_widgets.panels.curves import over_an_epoch


def test_training_points_are_averaged_over_the_epoch_that_ends_there():
    x = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    y = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0]
    found = over_an_epoch(x, y)
    assert found[0] == 1.0
    assert np.allclose(found[3:], np.sqrt(5.0))
