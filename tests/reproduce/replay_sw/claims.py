"""What the MACE-MP-0 paper found about forgetting, and the words for what we found on two small tasks."""

from __future__ import annotations

import re
from pathlib import Path

TITLE = "Forgetting with and without replay, Stillinger-Weber (MACE-MP-0, C.2)"
TASKS = {"level": "silicon, another level of theory", "element": "germanium"}
COLOURS = {
    "naive": "tab:blue", "lora": "tab:cyan", "replay": "tab:orange", "replay-heavy": "tab:red",
    "replay-narrow": "tab:brown", "pseudo": "tab:green", "naive-long": "navy", "replay-long": "gold",
}  # fmt: skip


def _ratio(task: str, name: str, arms: tuple[str, ...] = ("naive", "replay")):
    def ours(rows: dict[str, dict]) -> str:
        parts = []
        for arm in arms:
            found = [row["values"][name] for key, row in rows.items() if re.fullmatch(rf"{task}-{arm}-\d+", key)]
            if not found:
                raise KeyError(arm)
            parts.append(f"{arm} {sum(found) / len(found):.3g}")
        return ", ".join(parts)

    return ours


NARROW = ("naive", "replay-narrow")
CLAIMS = [
    ("forces, RMSE(fine-tuned) / RMSE(base) after another level of theory", "naive about 4.0, replay 1.1 to 1.4",
     _ratio("level", "forgetting_forces")),
    ("the same after another element (the paper stays within its base's elements)", "no such number",
     _ratio("element", "forgetting_forces")),
    ("energy (naive has moved to the new level's zero)", "naive about 10 times replay",
     _ratio("level", "forgetting_energy")),
    ("force RMSE on the new level (eV/Å)", "about equal", _ratio("level", "forces_rmse_eV_A")),
    ("force RMSE on the new element (eV/Å)", "about equal", _ratio("element", "forces_rmse_eV_A")),
    ("where half as many of a step's structures are new as in naive's: force RMSE on the new level (eV/Å)",
     "no such number", _ratio("level", "forces_rmse_eV_A", NARROW)),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", NARROW)),
    ("the same with half the learning rate: force RMSE on the new element (eV/Å)", "no such number",
     _ratio("element", "forces_rmse_eV_A", NARROW)),
    ("the same: forgetting of forces", "no such number", _ratio("element", "forgetting_forces", NARROW)),
    ("low-rank additions (LoRA) to the new level: force RMSE there (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("naive", "lora"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("naive", "lora"))),
    ("three times as many steps: force RMSE on the new level (eV/Å)", "about equal",
     _ratio("level", "forces_rmse_eV_A", ("naive-long", "replay-long"))),
    ("the same: forgetting of forces", "naive about 4.0, replay 1.1 to 1.4",
     _ratio("level", "forgetting_forces", ("naive-long", "replay-long"))),
    ("replayed structures of weight 4: force RMSE on the new level (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("replay", "replay-heavy"))),
    ("the same: forgetting of forces", "no such number",
     _ratio("level", "forgetting_forces", ("replay", "replay-heavy"))),
    ("replayed with the base's own labels: force RMSE on the new level (eV/Å)", "no such number",
     _ratio("level", "forces_rmse_eV_A", ("replay", "pseudo"))),
    ("the same: forgetting of forces", "no such number", _ratio("level", "forgetting_forces", ("replay", "pseudo"))),
]  # fmt: skip


def figure(rows: dict[str, dict], path: Path) -> None:
    """What each arm forgets of silicon against its error on the new task: below and to the left is better."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9, 3.6), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    for place, (task, title) in zip(picture.subplots(1, 2), TASKS.items(), strict=True):
        for name, row in rows.items():
            if not name.startswith(f"{task}-"):
                continue
            arm, v = name.removeprefix(f"{task}-").rsplit("-", 1)[0], row["values"]
            x, y = 1e3 * v["forces_rmse_eV_A"], v["forgetting_forces"]
            place.scatter(x, y, color=COLOURS[arm])
            place.annotate(arm, (x, y), xytext=(5, 3), textcoords="offset points", fontsize=8)
        place.axhline(1.0, color="0.6", lw=0.8)
        place.margins(x=0.25, y=0.1)
        place.set(title=title, yscale="log", xlabel="force RMSE on the new task (meV/Å)")
        place.set_ylabel("silicon's forces: RMSE(fine-tuned) / RMSE(base)", fontsize=8)
    canvas.print_png(str(path))
