"""What the curves of a fine-tune are made of."""

from pathlib import Path

import numpy as np

from atomlab_widgets.panels.curves import at_equal_time, curves, over_an_epoch
from atomlab_widgets.panels.finetune_picture import ceiling, numbers
from atomlab_widgets.panels.probed import at_equal_time_probed, probe_words, probed
from atomlab_widgets.runlog import RunView, fold


def told(*events, name="0001"):
    run = RunView(Path(f"finetune-{name}-si-base-sw-ge"), {"kind": "finetune", "strategy": "naive"})
    for event in events:
        fold(run.log, event)
    return run


def probe(name, epoch, ratio, **more):
    values = {"probe": name, "epoch": epoch, "ratio": ratio, "text": f"{name} ×{ratio}", "share": 0.1}
    return {"kind": "probe", "train_seconds": 10 * epoch, **values, **more}


def test_errors_are_drawn_as_multiples_of_the_bases_and_properties_in_per_cent():
    run = told(probe("forgetting", 0.0, 1.0), probe("forgetting", 2.0, 7.5), probe("lattice", 1.0, 1.01))
    traces, axes = probed([run], dark=False)
    lines = {(t["name"], t["xaxis"]): t for t in traces}
    errors, lattice = lines["error on other tasks", "x"], lines["lattice constant", "x2"]
    assert (errors["x"], errors["y"]) == ([0.0, 2.0], [1.0, 7.5])
    assert np.allclose(lattice["y"], [1.0]) and lattice["marker"]["symbol"] != errors["marker"]["symbol"]
    assert lines["as the base", "x"]["y"] == [1.0, 1.0] and lines["as the base", "x2"]["y"] == [0.0, 0.0]
    assert [log for _, log in axes] == [True, False] and "%" in axes[1][0]
    assert probed([run], dark=False, along="seconds")[0][0]["x"] == [0.0, 20.0]
    assert probed([told()], dark=False) == ([], [])


def test_one_kind_of_probe_has_the_whole_width_and_small_ratios_a_linear_axis():
    traces, axes = probed([told(probe("md", 1.0, None), probe("md", 2.0, 0.5))], dark=False)
    assert [t["xaxis"] for t in traces] == ["x", "x"] and traces[0]["y"] == [-50.0]
    assert probed([told(probe("foundation", 1.0, 1.2))], dark=False)[1][0][1] is False
    assert len(axes) == 1


def test_the_legend_of_several_runs_names_runs_and_probes_once():
    runs = [told(probe("forgetting", 1.0, 2.0), probe("lattice", 1.0, 1.0), name=n) for n in ("0001", "0002")]
    runs[1].color = 1
    traces, _ = probed(runs, dark=False)
    shown = [t["name"] for t in traces if t.get("showlegend", True)]
    assert sorted(shown) == ["1 naive", "2 naive", "as the base", "error on other tasks", "lattice constant"]


def test_a_resumed_run_probes_again_and_the_kept_weights_come_last():
    run = told(probe("md", 1.0, 1.0), probe("md", 2.0, 0.5), probe("md", 2.0, 0.9), probe("md", 1.0, 1.0, final=True))
    assert [row["ratio"] for row in run.log.probes["md"]] == [1.0, 0.9, 1.0]
    assert probe_words(run) == ["md ×1.0.", "Probes took 10 % of the time (at most 15 %)."]
    assert probe_words(told()) == ["This run has no probes."]


def test_runs_compare_at_equal_time_too():
    rows = [
        {"kind": "metric", "split": "valid", "epoch": e, "step": e, "seconds": 7.0 * e, "loss": 1.0 / e} for e in (1, 2)
    ]
    run = told(*rows)
    assert curves([run], "loss", dark=False)[0]["x"] == [1, 2]
    assert curves([run], "loss", dark=False, along="seconds")[0]["x"] == [7.0, 14.0]
    slow = [{**row, "seconds": 3 * row["seconds"], "loss": 5.0 * row["loss"]} for row in rows]
    assert at_equal_time([run, told(*slow, name="0002")], "loss") == ""  # the slower one had no point by then
    slow.insert(0, {**rows[0], "epoch": 0, "step": 0, "seconds": 1.0, "loss": 9.0})
    words = at_equal_time([run, told(*slow, name="0002")], "loss")
    assert words == "After 14.0 s of training each: 1 naive 0.5, 2 naive 9 (validation)."
    pair = [told(probe("forgetting", 1.0, r), name=n) for n, r in (("0001", 2.0), ("0002", 1.1))]
    assert "1 naive ×2.00, 2 naive ×1.10" in at_equal_time_probed(pair) and at_equal_time_probed(pair[:1]) == ""


def test_training_points_are_averaged_over_the_epoch_that_ends_there():
    x = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
    y = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0]
    found = over_an_epoch(x, y)
    assert found[0] == 1.0
    assert np.allclose(found[3:], np.sqrt(5.0))


def test_random_weights_neither_squeeze_the_picture_nor_have_thousandths():
    errors = {"kind": "metric", "split": "valid", "epoch": 0, "step": 0, "loss": 1.0}
    run = told(
        {"kind": "base", "forces_rmse": 0.9, "energy_rmse": 0.4},
        errors | {"arm": "finetune", "forces_rmse": 0.9, "energy_rmse": 0.4},
        errors | {"arm": "scratch", "forces_rmse": 486.189, "energy_rmse": 1045.68},
    )
    assert numbers(run) == (
        "validation: 0.900 eV/Å and 400.0 meV/atom; from scratch 486 eV/Å and 1046 eV/atom; base 0.900 eV/Å"
    )
    other = told({"kind": "base", "forces_rmse": 2.0}, name="0002")
    assert (ceiling([run], "forces_rmse"), ceiling([run, other], "forces_rmse")) == (9.0, 20.0)
    assert ceiling([run], "loss") is None and ceiling([told()], "forces_rmse") is None
