"""What the GPTFF paper found, and the words for what its published weights do on data that are at hand."""

from __future__ import annotations

from pathlib import Path

TITLE = "GPTFF's published weights, and fine-tuned (Xie, Lu, Meng, Liu)"
STAGES = {"before": "v2, E0 refitted", "after": "fine-tuned", "scratch": "from scratch"}
TASKS = {"c5h4": "C5H4, B3LYP/6-31G (what is left is the torsion, learned by neither)", "ge": "germanium, mlearn (PBE)"}


def _parameters(rows: dict[str, dict]) -> str:
    return ", ".join(f"{v} {rows[f'mptrj-{v}']['values']['parameters']:,}" for v in ("v1", "v2"))


def _mptrj(key: str, factor: float, unit: str, extra: str = ""):
    """v1 and v2 on all frames, and v2 on those without and with +U."""

    def ours(rows: dict[str, dict]) -> str:
        v1, v2 = (rows[f"mptrj-{v}"]["values"] for v in ("v1", "v2"))
        parts = [f"{factor * x:.3g}" for x in (v1["all"][key], v2["all"][key])]
        split = ", ".join(f"{name} {factor * v2[name][key]:.3g}" for name in ("without +U", "with +U"))
        return f"v1 {parts[0]}, v2 {parts[1]} {unit} ({split}){extra.format(**v2['all'])}"

    return ours


def _tuned(task: str, name: str, factor: float, unit: str):
    def ours(rows: dict[str, dict]) -> str:
        v = rows[f"finetune-{task}"]["values"]
        return ", ".join(f"{word} {factor * v[stage][name]:.3g}" for stage, word in STAGES.items()) + f" {unit}"

    return ours


FORCES, ENERGY = "forces_mae_eV_A", "energy_mae_eV_atom"
CLAIMS = [
    ("parameters", "v2 502,465", _parameters),
    ("force MAE, 1000 MPtrj frames (other data than the paper's; +U and pseudopotentials differ)",
     "71 meV/Å on its own test set", _mptrj(FORCES, 1e3, "meV/Å")),
    ("energy MAE on them after E0 are fitted on other crystals (the same caveat)", "32 meV/atom on its own test set",
     _mptrj("energy_refitted_mae_eV_atom", 1e3, "meV/atom", "; median {energy_refitted_median_eV_atom:.3f} eV/atom, "
            "{refitted_frames} of {frames} frames, the others have elements too rare to fit")),
    ("the same with the published E0: another zero of the energy", "no such number",
     _mptrj("energy_median_eV_atom", 1e3, "meV/atom, median")),
    ("stress MAE on them", "0.365 GPa on its own test set", _mptrj("stress_mae_GPa", 1.0, "GPa")),
    *[(f"fine-tuned to {text}: {what} MAE", "no such number (Li3YCl6, optB88, about 2,000 frames: only applications)",
       _tuned(task, key, 1e3, unit)) for task, text in TASKS.items()
      for what, key, unit in (("force", FORCES, "meV/Å"), ("energy", ENERGY, "meV/atom"))],
]  # fmt: skip


def figure(rows: dict[str, dict], path: Path) -> None:
    """Errors before and after fine-tuning, beside the same network from random weights."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = {task: rows[f"finetune-{task}"]["values"] for task in TASKS if f"finetune-{task}" in rows}
    picture = Figure(figsize=(8, 3.2), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    for axes, (key, label) in zip(
        picture.subplots(1, 2), ((FORCES, "force MAE (meV/Å)"), (ENERGY, "energy MAE (meV/atom)"))
    ):
        for k, (stage, colour) in enumerate(zip(STAGES, ("0.3", "tab:blue", "0.75"))):
            values = [1e3 * v[stage][key] for v in found.values()]
            bars = axes.bar([n + 0.27 * (k - 1) for n in range(len(found))], values, 0.25, color=colour)
            bars.set_label(STAGES[stage])
            axes.bar_label(bars, fmt="%.0f", fontsize=8)
        axes.set(ylabel=label)
        axes.set_xticks(range(len(found)), [TASKS[task].split(" (")[0] for task in found])
    picture.axes[0].legend(fontsize=8)
    canvas.print_png(str(path))
