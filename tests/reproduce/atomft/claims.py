"""What the AtomFT paper found on MBNN, and the words for what we found on silicon."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TITLE = "AtomFT on MBNN (Xie, Guan, Yang, Shang, Liu)"


def _parameters(rows: dict[str, dict]) -> str:
    found = rows["parameters"]["values"].values()
    return "; ".join(f"{v['base']:,} and {v['per_block']:,} NI + {v['constant']:,}" for v in found)


def _inference(rows: dict[str, dict]) -> str:
    v = rows["cost"]["values"]
    times = ", ".join(f"{t:.1f}" for t in v["inference_ms"])
    return (
        f"{v['inference_slope_by_base']:.2f} of the base's {v['base_inference_ms']:.1f} ms (NI = 0 to 4: {times} ms; "
        f"{v['atoms']} atoms of Si, one thread)"
    )


def _step(rows: dict[str, dict]) -> str:
    v = rows["cost"]["values"]
    times = ", ".join(f"{t / v['base_step_ms']:.2f}" for t in v["step_ms"])
    return f"NI = 0 to 4: {times} times the base's step of {v['base_step_ms']:.0f} ms"


def _error(where: str):
    """Energy errors of base and corrected models on frames of one kind."""

    def ours(rows: dict[str, dict]) -> str:
        first = rows["atomft-1"]["values"]
        parts = [f"base {1e3 * first[f'base_{where}']['energy_eV_atom']:.1f}"]
        for blocks in (1, 2):
            if blocks == 1 or "atomft-2" in rows:
                error = rows[f"atomft-{blocks}"]["values"][f"tuned_{where}"]["energy_eV_atom"]
                parts.append(f"AtomFT NI = {blocks} {1e3 * error:.2f}")
        return ", ".join(parts) + " meV/atom"

    return ours


def _forces(rows: dict[str, dict]) -> str:
    v = rows["atomft-1"]["values"]
    pairs = [(v[f"base_{w}"]["forces_eV_A"], v[f"tuned_{w}"]["forces_eV_A"]) for w in ("test", "elsewhere")]
    return "; ".join(
        f"{name}: base {base:.3f}, AtomFT {tuned:.3f} eV/Å" for name, (base, tuned) in zip(("test", "left out"), pairs)
    )


def _ratio(rows: dict[str, dict]) -> str:
    parts = []
    for blocks in (1, 2):
        v = rows[f"atomft-{blocks}"]["values"]
        ratio = v["base_test"]["energy_eV_atom"] / v["tuned_test"]["energy_eV_atom"]
        parts.append(f"{ratio:.1f} times lower (NI = {blocks})")
    return ", ".join(parts)


def _functions(rows: dict[str, dict]) -> str:
    few, many = (rows[f"base-{n}"]["values"] for n in (5, 45))
    return (
        f"{1e3 * few['held_energy_eV_atom']:.1f} -> {1e3 * many['held_energy_eV_atom']:.1f} meV/atom, "
        f"{few['held_forces_eV_A']:.3f} -> {many['held_forces_eV_A']:.3f} eV/Å"
    )


def _pairs(rows: dict[str, dict]) -> str:
    v = rows["atomft-1"]["values"]
    parts = [f"base {1e3 * v['base_formation_rmse_eV_atom']:.2f}"]
    for blocks in (1, 2):
        if blocks == 1 or "atomft-2" in rows:
            error = rows[f"atomft-{blocks}"]["values"]["tuned_formation_rmse_eV_atom"]
            parts.append(f"AtomFT NI = {blocks} {1e3 * error:.2f}")
    return f"{', '.join(parts)} meV/atom ({len(v['pairs'])} pairs)"


CLAIMS = [
    (
        "parameters of base and correction, Ti-O; C-H-O-N",
        "114,986 and 42,260 NI + 18,305; 511,236 and 84,520 NI + 10,241",
        _parameters,
    ),
    ("inference, each block", "0.2 to 0.3 of the base's time", _inference),
    ("training step or epoch", "1.75 to 7.7 (Ti-O), 0.32 to 1.27 (C-H-O-N) times the base's, NI = 1 to 4", _step),
    ("held-out error of the base, 5 -> 45 many-body functions", "5.76 -> 5.01 meV/atom (training, Ti-O)", _functions),
    (
        "narrow domain (pairs of defects at 600 K), training (200 epochs; the paper up to 4,000)",
        "0.600 (NI = 1), 0.436 (NI = 2) meV/atom",
        _error("train"),
    ),
    ("narrow domain, test", "0.829 and 0.768 meV/atom", _error("test")),
    ("the same, base by AtomFT", "9.07 -> 1.83 meV/atom along a run: 5.0 times", _ratio),
    (
        "domain left out (the base's own, other frames; there only its bound of 100 meV/atom holds the correction)",
        "similar to the base",
        _error("elsewhere"),
    ),
    ("forces", "0.088 eV/Å on test (NI = 1)", _forces),
    ("formation energies of pairs of defects", "1.63 -> 0.55 (NI = 1), 0.36 (NI = 2) meV/atom", _pairs),
]


def figure(rows: dict[str, dict], path: Path) -> None:
    """Cost by the number of blocks, and formation energies of pairs of defects."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 3.4), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    left, right = picture.subplots(1, 2)
    if "cost" in rows:
        v = rows["cost"]["values"]
        for name, label in (("inference", "inference"), ("step", "training step")):
            left.plot(range(5), np.array(v[f"{name}_ms"]) / v[f"base_{name}_ms"], "o-", label=label)
        left.set(xlabel="blocks NI", ylabel="time by the base's", ylim=(0, None))
        left.set_xticks(range(5))
        left.legend(fontsize=8)
    if "atomft-1" in rows:
        v = rows["atomft-1"]["values"]
        exact = np.array(v["teacher_formation_eV"])
        right.axhline(0.0, color="k", lw=0.8)
        for name, label in (("base", "base"), ("tuned", "AtomFT, NI = 1")):
            right.plot(exact, np.array(v[f"{name}_formation_eV"]) - exact, "o", label=label, mfc="none")
        right.set(xlabel="formation energy by the teacher (eV)", ylabel="error (eV)")
        right.legend(fontsize=8)
    canvas.print_png(str(path))
