"""What the EquiREANN paper found on cumulenes, and the words for what we found."""

from __future__ import annotations

from pathlib import Path

TITLE = "EquiREANN on cumulenes (Wu, Xia, Zhang, Jiang)"
KINDS = {"reann": "REANN", "equireann": "EquiREANN"}


def _barrier(row: dict) -> str:
    v = row["values"]
    return f"{round(v['barrier_eV'], 2) + 0.0:.2f} of {v['reference_barrier_eV']:.2f} eV"  # no -0.00


def _share(molecule: str, cutoff: float, rounds: int):
    """Both models' share of the reference's barrier."""

    def ours(rows: dict[str, dict]) -> str | None:
        parts = []
        for kind, name in KINDS.items():
            row = rows.get(f"{molecule}-{cutoff:g}-T{rounds}-{kind}")
            if row:
                parts.append(f"{name} {_barrier(row)}")
            longer = rows.get(f"long-{molecule}-{cutoff:g}-T{rounds}-{kind}")
            if longer:
                parts.append(f"with four times the steps {_barrier(longer)}")
        return ", ".join(parts) if parts else None

    return ours


def _seen(rows: dict[str, dict]) -> str:
    """Median of the three starts, in words by setting; the order is that of the rows above."""
    parts = []
    for name, shares in rows["seen"]["values"].items():
        molecule, cutoff, rounds, kind = name.split("-")
        share = sorted(shares)[1]
        if share > 0.0:
            size = f"{100 * share:.2g} %" if share > 1e-6 else f"{share:.0e}"
            parts.append(f"{molecule.upper()} {cutoff} Å {rounds[0]} = {rounds[1:]} {KINDS[kind]} {size}")
    return ", ".join(parts) + "; the others nothing"


def _by_heart(rows: dict[str, dict]) -> str:
    return f"EquiREANN {_barrier(rows['heart-c5h4-3-1-equireann'])}"


def _epoch(rows: dict[str, dict]) -> str:
    v = rows["epochs-c7h4-6-T2"]["values"]
    pair = [v[f"{kind}_seconds"] for kind in KINDS]
    ratio = f"EquiREANN / REANN = {pair[1] / pair[0]:.2f}"
    return f"{pair[0]:.2f} and {pair[1]:.2f} s: {ratio} ({v['frames']:,} frames, one thread, by turns)"


def _parameters(rows: dict[str, dict]) -> str:
    pair = [rows[f"c5h4-3-T2-{kind}"]["values"]["parameters"] for kind in KINDS]
    return f"{pair[0]:,} and {pair[1]:,} (a contraction for each round, as in the authors' code)"


CLAIMS = [
    ("barrier of C5H4, cutoff 3.0 Å, T = 0", "no model sees it", _share("c5h4", 3.0, 0)),
    ("the same, T = 1 (5,100 steps)", "REANN constant, EquiREANN good", _share("c5h4", 3.0, 1)),
    ("the scan itself learned by heart, T = 1 (1,500 steps)", "no such number", _by_heart),
    ("barrier of C5H4, cutoff 3.0 Å, T = 2", "REANN constant, EquiREANN exact", _share("c5h4", 3.0, 2)),
    ("barrier of C5H4, cutoff 6.0 Å, T = 2", "both right", _share("c5h4", 6.0, 2)),
    ("barrier of C7H4, the same", "REANN approximate, EquiREANN right", _share("c7h4", 6.0, 2)),
    ("barrier of C9H4, the same", "REANN constant, EquiREANN right", _share("c9h4", 6.0, 2)),
    (
        "what a quarter turn does to the densities before training, by their spread over the geometries (as many at "
        "every angle): less than 0.5 % was not found in 5,100 steps, REANN's 2.9 % hardly",
        "no such number",
        _seen,
    ),
    ("time of an epoch, C7H4", "6.2 and 5.9 s (ratio 0.95)", _epoch),
    ("number of parameters, T = 2", "unchanged", _parameters),
]


def figure(rows: dict[str, dict], path: Path) -> None:
    """The energy along the dihedral angle, a panel for each setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(name.rsplit("-", 1)[0] for name in rows if name[0] == "c"))
    high, wide = -(-len(settings) // 3), min(3, len(settings))
    picture = Figure(figsize=(3.2 * wide, 3.0 * high), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    colours = {"reann": "C0", "equireann": "C1"}
    for axes, setting in zip(picture.subplots(high, wide, squeeze=False).flat, settings):
        found = {kind: rows[f"{setting}-{kind}"]["values"] for kind in KINDS if f"{setting}-{kind}" in rows}
        v = next(iter(found.values()))
        axes.plot(v["angle"], v["reference_eV"], "k--", lw=1, label="GFN2-xTB")
        for kind, name in KINDS.items():
            v = found.get(kind, {"angle": [], "energy_eV": []})  # an empty line keeps its place in the legend
            width = 3.0 if kind == "reann" else 1.5  # where both are constant, both are seen
            axes.plot(v["angle"], v["energy_eV"], colours[kind], label=name, lw=width)
        molecule, cutoff, rounds = setting.split("-")
        axes.set(title=f"{molecule.upper()}, {cutoff} Å, {rounds[0]} = {rounds[1:]}", xlabel="dihedral angle (°)")
    picture.axes[0].set_ylabel("energy (eV)")
    picture.axes[0].legend(fontsize=8)
    canvas.print_png(str(path))
