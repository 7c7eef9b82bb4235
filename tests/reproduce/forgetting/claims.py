"""What the MACE-MP-0 paper found about fine-tuning and forgetting, and the words for what we found on small tasks."""

from __future__ import annotations

import math
import re
from pathlib import Path

TITLE = "From scratch, base, fine-tuned, and what is forgotten (MACE-MP-0, III and C.2)"
TASKS = {"si": "Si", "ge": "Ge", "li": "Li", "mo": "Mo", "c5h4": "C5H4"}
ARMS = {"scratch": "0.75", "base": "0.3", "naive": "tab:blue", "replay": "tab:orange"}
FORCES = "forces_rmse_eV_A"


def _mean(rows: dict[str, dict], name: str, get) -> float:
    """The geometric mean over seeds (and over what else `get` gives)."""
    values = [x for key, row in rows.items() if re.fullmatch(rf"{name}-\d+", key) for x in get(row["values"])]
    if not values:
        raise KeyError(name)
    return _over(values)


def _error(rows: dict[str, dict], task: str, arm: str) -> float:
    return 1e3 * _mean(rows, f"{task}-{arm}", lambda v: [v["test"][FORCES]])


def _task(task: str):
    def ours(rows: dict[str, dict]) -> str:
        v = {arm: _error(rows, task, arm) for arm in ARMS}
        words = ", ".join(f"{arm} {value:.0f}" for arm, value in v.items())
        return f"{words}: scratch / naive = {v['scratch'] / v['naive']:.1f}"

    return ours


def _gain(rows: dict[str, dict]) -> str:
    gains = {task: _error(rows, task, "scratch") / _error(rows, task, "naive") for task in TASKS}
    below = sum(_error(rows, task, "base") < _error(rows, task, "scratch") for task in TASKS)
    return f"{min(gains.values()):.1f} to {max(gains.values()):.1f} times; the base alone beats scratch on {below} of 5"


def _over(values) -> float:
    """The geometric mean."""
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def _ratios(own: bool, kind: str = "forces"):
    """What a row says of forgetting on the base's own ground, or on the other tasks."""
    return lambda values: [x[kind] for name, x in values["forgetting"].items() if (name == "own") == own]


def _long(rows: dict[str, dict]) -> list[str]:
    """The tasks that have been trained on for longer too."""
    found = [task for task in TASKS if {f"{task}-naive-long-0", f"{task}-replay-long-0"} <= rows.keys()]
    if not found:
        raise KeyError("long")
    return found


def _longer(own: bool):
    """The same tasks with the usual number of steps, and with three times as many."""

    def ours(rows: dict[str, dict]) -> str:
        words, tasks = [], _long(rows)
        for arm in ("naive", "replay"):
            few, many = ([_mean(rows, f"{task}-{arm}{more}", _ratios(own)) for task in tasks] for more in ("", "-long"))
            words.append(f"{arm} {_over(few):.2f} -> {_over(many):.2f} ({min(many):.2f} to {max(many):.2f})")
        return ", ".join(words) + ("" if len(tasks) == len(TASKS) else f" ({', '.join(TASKS[t] for t in tasks)})")

    return ours


def _longer_target(rows: dict[str, dict]) -> str:
    return "; ".join(
        f"{TASKS[task]}: " + ", ".join(
            f"{arm} {_error(rows, task, arm):.0f} -> {_error(rows, task, f'{arm}-long'):.0f}"
            for arm in ("naive", "replay"))
        for task in _long(rows)
    )  # fmt: skip


def _silent(rows: dict[str, dict]) -> str:
    """The root mean square force over the base's error."""
    each = {name: rows[f"{task}-base-0"]["values"] for task, name in TASKS.items()}
    words = [f"{name} {v['labels']['test'] / v['test'][FORCES]:.1f}" for name, v in each.items()]
    first = each["Si"]
    return f"{', '.join(words)}; own ground {first['labels']['own'] / first['own'][FORCES]:.1f}"


def _forgotten(own: bool, kind: str, arms: tuple[str, ...] = ("naive", "replay")):
    """Of all tasks the geometric mean of the ratio on the base's own ground, or on the other tasks."""

    def ours(rows: dict[str, dict]) -> str:
        parts = []
        for arm in arms:
            each = [_mean(rows, f"{task}-{arm}", _ratios(own, kind)) for task in TASKS]
            parts.append(f"{arm} {_over(each):.2f} ({min(each):.2f} to {max(each):.2f})")
        return ", ".join(parts)

    return ours


def _target(arm: str):
    def ours(rows: dict[str, dict]) -> str:
        ratios = [_error(rows, task, arm) / _error(rows, task, "naive") for task in TASKS]
        return f"replay / naive {min(ratios):.2f} to {max(ratios):.2f}"

    return ours


def _level(count: int, what: str, arms: tuple[str, ...] = ("scratch", "base", "naive", "replay")):
    def ours(rows: dict[str, dict]) -> str:
        v = rows[f"level-{count}"]["values"]
        if what == "forgetting":
            return ", ".join(f"{arm} {v[arm][what]['own']['forces']:.2f}" for arm in arms)
        return ", ".join(f"{arm} {1e3 * v[arm]['test'][what]:.3g}" for arm in arms)

    return ours


def _published(rows: dict[str, dict]) -> str:
    parts = []
    for arm in ("naive", "replay"):
        v = rows[f"gptff-ge-{arm}"]["values"]
        mean = _over(_ratios(own=False)(v))
        own = v["forgetting"]["own"]["forces"]
        parts.append(f"{arm}: Ge {1e3 * v['test'][FORCES]:.0f} meV/Å, own ground {own:.2f}, other tasks {mean:.2f}")
    return "; ".join(parts)


def _soft(rows: dict[str, dict]) -> str:
    v = rows["gptff-ge-base"]["values"]
    names = TASKS | {"own": "own ground"}
    return ", ".join(f"{names[k]} {x['share']:.2f} ({x['labels'] / x[FORCES]:.1f})" for k, x in v.items())


CLAIMS = [
    *[(f"force RMSE (meV/Å) on {name}", "no such number", _task(task)) for task, name in TASKS.items()],
    ("force RMSE from scratch / fine-tuned", "4 to 10 times; the base alone often as good as scratch", _gain),
    ("forgetting of forces on the other tasks, RMSE(fine-tuned) / RMSE(base)", "naive about 4.0, replay 1.1 to 1.4",
     _forgotten(False, "forces")),
    ("the same, median over the structures", "(box plots)", _forgotten(False, "median")),
    ("on the base's own ground (another measure)", "no such number", _forgotten(True, "forces")),
    ("the same, median over the structures", "no such number", _forgotten(True, "median")),
    ("what a model that says no force at all would have there", "no such number",
     _silent),
    ("three times as many steps: forgetting of forces on the other tasks",
     "naive about 4.0, replay 1.1 to 1.4", _longer(False)),
    ("the same on the base's own ground", "no such number", _longer(True)),
    ("the same: force RMSE on the task (meV/Å)", "no such number", _longer_target),
    ("force RMSE on the task itself", "about equal", _target("replay")),
    ("the same where both losses weigh 1, though the replayed structures' begins larger",
     "no such number", _target("replay-even")),
    ("forgetting of forces on the other tasks then", "no such number",
     _forgotten(False, "forces", ("replay-even",))),
    ("GFN2-xTB to B3LYP/6-31G, 10 structures of C5H4: force RMSE (meV/Å)",
     "a new level too (r2SCAN energies: scratch 543, naive 162, replay 32 meV)", _level(10, FORCES)),
    ("the same: forgetting of forces at GFN2-xTB", "no such number", _level(10, "forgetting", ("naive", "replay"))),
    ("40 structures: force RMSE (meV/Å); what is left is the torsion, which no arm and not the base has learned",
     "the same", _level(40, FORCES)),
    ("the same: forgetting of forces at GFN2-xTB", "no such number", _level(40, "forgetting", ("naive", "replay"))),
    ("the same: energy MAE (meV/atom)", "the same", _level(40, "energy_mae_eV_atom")),
    ("low-rank additions, and replay with the base's own labels, 40 structures: force RMSE (meV/Å)", "no such number",
     _level(40, FORCES, ("lora", "replay-pseudo"))),
    ("the same: forgetting of forces at GFN2-xTB", "no such number",
     _level(40, "forgetting", ("lora", "replay-pseudo"))),
    ("force RMSE where replay's steps (`narrow`) have as many structures in all as naive's, half of them new",
     "no such number", _level(10, FORCES, ("naive", "replay", "replay-narrow"))),
    ("GPTFF v2 on germanium, naive and replayed with its own labels: force RMSE there, and forgetting of forces",
     "no such number", _published),
    ("how much of the true force GPTFF v2 itself gives (in brackets: forgetting of a model that says none); where that "
     "is little, a naive fine-tuning mends other tasks too, and replay keeps it", "no such number", _soft),
]  # fmt: skip


def figure(rows: dict[str, dict], path: Path) -> None:
    """Force errors by task and arm; the forgetting of each fine-tuned model on its own ground and the other tasks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 4.0), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    left, right = picture.subplots(1, 2, width_ratios=(3, 2))
    for k, (arm, colour) in enumerate(ARMS.items()):
        places = [(n, task) for n, task in enumerate(TASKS) if f"{task}-{arm}-0" in rows]
        heights = [_error(rows, task, arm) for _, task in places]
        bars = left.bar([n + 0.21 * (k - 1.5) for n, _ in places], heights, 0.2, color=colour, label=arm)
        left.bar_label(bars, fmt="%.0f", fontsize=7)
    left.set(ylabel="force RMSE on the task's test set (meV/Å)")
    left.set_xticks(range(len(TASKS)), TASKS.values())
    left.legend(fontsize=8, ncols=2)
    for arm, mark, shift in (("naive", "o", -0.12), ("replay", "o", 0.12), ("naive-long", "^", -0.3),
                             ("replay-long", "^", 0.3)):  # fmt: skip
        colour = ARMS[arm.split("-")[0]]
        for n, task in enumerate(TASKS):
            lost = rows.get(f"{task}-{arm}-0", {}).get("values", {}).get("forgetting", {})
            for name, x in lost.items():
                face = "white" if name == "own" else colour
                right.scatter(n + shift, x["forces"], s=24, marker=mark, edgecolor=colour, facecolor=face)
    right.axhline(1.0, color="0.6", lw=0.8)
    right.set(yscale="log", ylabel="forces: RMSE(fine-tuned) / RMSE(base)")
    right.set_title(
        "open: the base's own ground; filled: other tasks;\ntriangles: three times as many steps", fontsize=9
    )
    right.set_xticks(range(len(TASKS)), [f"tuned\non {name}" for name in TASKS.values()])
    ticks = [0.7, 1, 1.4, 2, 3, 4, 6, 8]
    right.set_yticks(ticks, [f"{x:g}" for x in ticks])
    right.set_yticks([], minor=True)
    canvas.print_png(str(path))
