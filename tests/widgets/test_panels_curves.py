"""What the curves of a fine-tune are made of."""

from pathlib import Path

import numpy as np

from atomlab_widgets.panels.curves import curves, over_an_epoch, probed
from atomlab_widgets.panels.finetune import probe_words
from atomlab_widgets.runlog import RunView, fold


def told(*events):
    run = RunView(Path("finetune-0001"), {"kind": "finetune", "strategy": "naive"})
    for event in events:
        fold(run.log, event)
    return run


def probe(name, epoch, ratio, **more):
    values = {"probe": name, "epoch": epoch, "ratio": ratio, "text": f"{name} ×{ratio}", "share": 0.1}
    return {"kind": "probe", "train_seconds": 10 * epoch, **values, **more}


def test_probes_are_drawn_as_multiples_of_the_bases_values():
    run = told(probe("forgetting", 0.0, 1.0), probe("forgetting", 2.0, 1.5), probe("md", 1.0, None))
    lines = {t["name"]: t for t in probed([run], dark=False)}
    assert set(lines) == {"force error on other tasks", "as the base"}
    assert lines["force error on other tasks"]["x"] == [0.0, 2.0]
    assert lines["force error on other tasks"]["y"] == [1.0, 1.5]
    assert lines["as the base"]["y"] == [1.0, 1.0]
    by_time = probed([run], dark=False, along="seconds")[0]
    assert by_time["x"] == [0.0, 20.0]
    assert probed([told()], dark=False) == []


def test_a_resumed_run_probes_again_and_the_kept_weights_come_last():
    run = told(probe("md", 1.0, 1.0), probe("md", 2.0, 0.5), probe("md", 2.0, 0.9), probe("md", 1.0, 1.0, final=True))
    assert [row["ratio"] for row in run.log.probes["md"]] == [1.0, 0.9, 1.0]
    assert probe_words(run) == "md ×1.0. Probes took 10 % of the time."
    assert probe_words(told()) == "This run has no probes."


def test_runs_compare_at_equal_time_too():
    rows = [
        {"kind": "metric", "split": "valid", "epoch": e, "step": e, "seconds": 7.0 * e, "loss": 1.0 / e} for e in (1, 2)
    ]
    run = told(*rows)
    assert curves([run], "loss", dark=False)[0]["x"] == [1, 2]
    assert curves([run], "loss", dark=False, along="seconds")[0]["x"] == [7.0, 14.0]


def test_training_points_are_averaged_over_the_epoch_that_ends_there():
    x = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    y = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0]
    found = over_an_epoch(x, y)
    assert found[0] == 1.0
    assert np.allclose(found[3:], np.sqrt(5.0))
