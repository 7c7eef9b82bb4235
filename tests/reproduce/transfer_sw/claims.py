"""What the transfer learning paper found with Stillinger-Weber labels, and the words for what we found."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

TITLE = "Transfer across elements, Stillinger-Weber (Röcken, Zavadlav)"
ARMS = ("transfer", "scratch")


def _of(rows: dict[str, dict], pattern: str, value: str) -> np.ndarray:
    """That value of all seeds' rows of a name."""
    found = [row["values"][value] for name, row in rows.items() if re.fullmatch(pattern + r"-\d+", name)]
    if not found:
        raise KeyError(pattern)
    return np.array(found)


def _pair(value: str, unit: str, factor: float, *names: str):
    def ours(rows: dict[str, dict]) -> str:
        parts = []
        for name in names:
            v = factor * _of(rows, name, value)
            arm = next(a for a in ARMS if a in name)
            count = name.split("-")[1] if name.startswith("frames") else "1"
            parts.append(
                f"{arm}, {count} {'frame' if count == '1' else 'frames'}: {v.mean():.1f} ± {v.std():.1f} {unit}"
            )
        return "; ".join(parts)

    return ours


def _by_temperature(rows: dict[str, dict]) -> str:
    curves = {arm: _curve(rows, arm) for arm in ARMS}
    better = sum(curves["transfer"][t] < curves["scratch"][t] for t in curves["scratch"])
    return f"better at {better} of {len(curves['scratch'])} temperatures"


def _curve(rows: dict[str, dict], arm: str) -> dict[float, float]:
    tables = _of(rows, f"temperature-{arm}", "forces_mae_by_temperature")
    return {float(t): float(np.mean([table[t] for table in tables])) for t in tables[0]}


def _vibrations(rows: dict[str, dict]) -> str:
    parts = [_of(rows, f"vibrations-{arm}", "distance") for arm in ARMS]
    words = [f"{arm} {v.mean():.3f} ± {v.std():.3f}" for arm, v in zip(ARMS, parts)]
    return f"half the area between the curves: {', '.join(words)}"


FORCE = ("forces_mae_eV_A", "meV/Å", 1000.0)
ENERGY = ("energy_mae_eV_atom", "meV/atom", 1000.0)
CLAIMS = [
    (
        "force MAE on Ge (Fig. 2)",
        "transfer with 10 frames better than scratch with 50",
        _pair(*FORCE, "frames-10-transfer", "frames-50-scratch"),
    ),
    (
        "energy MAE on Ge (Fig. 2)",
        "transfer with 10 frames better than scratch with 50",
        _pair(*ENERGY, "frames-10-transfer", "frames-50-scratch"),
    ),
    ("force MAE, 1 frame", "transfer better", _pair(*FORCE, "frames-1-transfer", "frames-1-scratch")),
    ("force MAE, 50 frames", "transfer better", _pair(*FORCE, "frames-50-transfer", "frames-50-scratch")),
    ("energy MAE, 1 frame", "below 43 meV/atom in both", _pair(*ENERGY, "frames-1-transfer", "frames-1-scratch")),
    (
        "one frame of 2000 K, forces at every temperature (Fig. 4)",
        "transfer better from 300 to 3300 K",
        _by_temperature,
    ),
    (
        "phonon density of states, models of one frame (Fig. 3)",
        "transfer close, scratch far and scattered",
        _vibrations,
    ),
]


def figure(rows: dict[str, dict], path: Path) -> None:
    """Errors by frames, by temperature, and the vibrations."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(12, 3.6), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    left, middle, right = picture.subplots(1, 3)
    for arm, colour in zip(ARMS, ("tab:blue", "tab:grey")):
        counts = sorted({int(n.split("-")[1]) for n in rows if n.startswith("frames") and arm in n})
        values = [1000 * _of(rows, f"frames-{n}-{arm}", "forces_mae_eV_A") for n in counts]
        left.errorbar(counts, [v.mean() for v in values], [v.std() for v in values], fmt="o-", color=colour, label=arm)
        if any(n.startswith(f"temperature-{arm}") for n in rows):
            curve = _curve(rows, arm)
            middle.plot(sorted(curve), [1000 * curve[t] for t in sorted(curve)], ".-", color=colour, label=arm)
        for name, row in rows.items():
            if name.startswith(f"vibrations-{arm}"):
                right.plot(row["values"]["frequency_THz"], row["values"]["density"], color=colour, lw=0.8)
                right.plot(row["values"]["frequency_THz"], row["values"]["reference"], "k--", lw=0.6)
    left.set(xscale="log", yscale="log", xlabel="frames of Ge", ylabel="force MAE (meV/Å)")
    middle.set(yscale="log", xlabel="temperature (K)", ylabel="force MAE (meV/Å)", title="one frame of 2000 K")
    right.set(xlabel="frequency (THz)", ylabel="density of states", title="one frame; dashed: reference")
    left.legend(fontsize=8)
    canvas.print_png(str(path))
