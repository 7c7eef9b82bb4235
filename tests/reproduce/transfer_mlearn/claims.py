"""What the transfer learning paper found with DFT labels, and the words for what we found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

TITLE = "Transfer across elements, DFT (Röcken, Zavadlav)"
KINDS = {"dimenetpp": "DimeNet++", "mace": "MACE"}
ARMS = ("transfer", "scratch")
COLOURS = {"transfer": "tab:green", "scratch": "tab:blue"}  # as in the paper
PAPER = {  # per cent by which transfer's MAE is lower (paper: Data Efficiency)
    "energy": {1: 59, 10: 69, 40: 46, 100: 27, 195: -5},
    "force": {1: 38, 10: 29, 40: 16, 100: 6, 195: 4},
}
WHOLE = {"scratch": {10: 35, 40: 46, 100: 73, 195: 71}, "transfer": {10: 100, 40: 100, 100: 80, 195: 80}}  # Table 1
MAE = {"energy": ("energy_mae_eV_atom", "meV/atom"), "force": ("forces_mae_eV_A", "meV/Å")}
REFERENCE = 195
CHEMICAL = 43.0  # meV/atom

Rows = dict[str, dict]


def _of(rows: Rows, name: str) -> dict[int, dict]:
    """The values of a name's rows, by seed."""
    found = {row["seed"]: row["values"] for key, row in sorted(rows.items()) if re.fullmatch(rf"{name}-\d+", key)}
    if not found:
        raise KeyError(name)
    return found


def _arms(rows: Rows, kind: str, part: str, count: int) -> dict[str, list[dict]]:
    """The values of both arms, of the seeds that both have been measured with."""
    found = {arm: _of(rows, f"{kind}-{part}{count}-{arm}") for arm in ARMS}
    seeds = sorted(set(found["transfer"]) & set(found["scratch"]))
    return {arm: [values[seed] for seed in seeds] for arm, values in found.items()}


def _errors(rows: Rows, kind: str, count: int, what: str) -> dict[str, np.ndarray]:
    """By arm the MAE of every seed, meV/atom or meV/Å."""
    arms = _arms(rows, kind, "", count)
    return {arm: 1000.0 * np.array([v[MAE[what][0]] for v in found]) for arm, found in arms.items()}


def _counts(rows: Rows, kind: str, part: str = "") -> list[int]:
    """The sizes that both arms have been measured at."""
    seeds = {
        n: [{r.rsplit("-", 1)[1] for r in rows if re.fullmatch(rf"{kind}-{part}{n}-{a}-\d+", r)} for a in ARMS]
        for n in PAPER["energy"]
    }
    return [n for n, (one, other) in seeds.items() if one & other]


def _gain(rows: Rows, kind: str, count: int, what: str) -> float:
    """Per cent by which transfer's MAE, the mean over the seeds, is lower."""
    errors = _errors(rows, kind, count, what)
    return 100.0 * (1.0 - errors["transfer"].mean() / errors["scratch"].mean())


def _lines(rows: Rows, kind: str, part: str, one: Callable[[int], str]) -> str:
    """What there is to say of each size that has been measured."""
    counts = _counts(rows, kind, part)
    if not counts:
        raise KeyError(kind)
    return "<br>".join(f"{n}: {one(n)}" for n in counts)


def _gains(kind: str, what: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        def one(n: int) -> str:
            gain = _gain(rows, kind, n, what)
            errors = [_errors(rows, kind, n, what)[arm] for arm in ("scratch", "transfer")]
            word = f"{gain:.0f} %" if gain > 0 else f"**{gain:.0f} %, negative transfer**"
            told = " -> ".join(f"{e.mean():.1f} ± {e.std():.1f}" for e in errors)
            idle = sum(v["largest_force_eV_A"] < 0.01 for v in _arms(rows, kind, "", n)["transfer"])
            note = f"; {idle} drew only structures without forces, from which nothing is learned" if idle else ""
            return f"{word} ({told} {MAE[what][1]}, {len(errors[0])} model{'s' * (len(errors[0]) > 1)}{note})"

        text, alone = _lines(rows, kind, "", one), rows.get(f"{kind}-{REFERENCE}-scratch-0")
        if alone and REFERENCE not in _counts(rows, kind):
            error = 1000.0 * alone["values"][MAE[what][0]]
            text += f"<br>{REFERENCE}: scratch alone {error:.1f} {MAE[what][1]}, in as many steps"
        return text

    return ours


def _mean_gain(what: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        words = []
        for kind, name in KINDS.items():
            counts = _counts(rows, kind)
            if counts:
                mean = np.mean([_gain(rows, kind, n, what) for n in counts])
                paper = np.mean([PAPER[what][n] for n in counts])
                sizes = ", ".join(map(str, counts))
                words.append(f"{name} {mean:.0f} % over {sizes} (the paper over these: {paper:.0f} %)")
        if not words:
            raise KeyError(what)
        return "<br>".join(words)

    return ours


def _silicon(kind: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        v = rows[f"{kind}-base"]["values"]
        energy, forces = 1000 * v["energy_rmse_eV_atom"], v["forces_rmse_eV_A"]
        return f"{energy:.1f} meV/atom, {forces:.3f} eV/Å ({v['parameters']:,} parameters)"

    return ours


def _chemical(kind: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        words = []
        for arm in ARMS:
            below = [n for n in _counts(rows, kind) if _errors(rows, kind, n, "energy")[arm].mean() < CHEMICAL]
            words.append(f"{arm} at {', '.join(map(str, below)) or 'none'} of {_counts(rows, kind)}")
        return ", ".join(words)

    return ours


def _choices(kind: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        words = []
        for arm in ARMS:
            v = rows[f"{kind}-choice-{arm}"]["values"]
            tried = ", ".join(f"{rate}: {1000 * error:.0f}" for rate, error in v["forces_rmse"].items())
            words.append(f"{arm} {v['learning_rate']:g} (force RMSE in validation, meV/Å, {tried})")
        return "<br>".join(words)

    return ours


def _melting(kind: str) -> Callable[[Rows], str]:
    """What most of the energies' error is, which the forces do not tell."""

    def ours(rows: Rows) -> str:
        found = {n: rows[f"{kind}-melting-{n}"]["values"] for n in PAPER["energy"] if f"{kind}-melting-{n}" in rows}
        found = {n: v for n, v in found.items() if set(ARMS) <= set(v["errors_eV_atom"])}
        if not found:
            raise KeyError(kind)
        any_one = next(iter(found.values()))
        words = [f"the base on Si: {1000 * any_one['errors_eV_atom']['silicon']:+.0f}"]
        words += [f"Ge, of {1000 * any_one['label_eV_atom']:.0f}, scratch -> transfer:"]
        shares = []
        for n, v in found.items():
            errors = {arm: 1000.0 * np.array(v["errors_eV_atom"][arm]) for arm in ("scratch", "transfer")}
            words.append(f"{n}: " + " -> ".join(f"{e.mean():+.0f} ± {e.std():.0f}" for e in errors.values()))
            if n > 1:
                shares += [_errors(rows, kind, n, "energy")[arm] / np.abs(e) for arm, e in errors.items()]
        if shares:
            least, most = np.concatenate(shares).min(), np.concatenate(shares).max()
            words.append(f"the energies' MAE with 10 and more is {least:.2f} to {most:.2f} of it")
        return "<br>".join(words)

    return ours


def _whole(kind: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        def one(n: int) -> str:
            found = _arms(rows, kind, "md-", n)
            told = [f"{arm} {sum(v['whole'] for v in f)} of {sum(v['runs'] for v in f)}" for arm, f in found.items()]
            longest = max(max(v["ps"]) for values in found.values() for v in values)
            words = f"{longest:g} ps"
            if n in WHOLE["scratch"]:  # as if runs were lost at a constant rate
                share = (WHOLE["scratch"][n] / 100) ** (longest / 100)
                words += f"; scratch at the paper's rate: {share * sum(v['runs'] for v in found['scratch']):.1f}"
            return ", ".join(told) + f" ({words})"

        return _lines(rows, kind, "md-", one)

    return ours


def distances(rows: Rows, kind: str, count: int, arm: str, what: str) -> np.ndarray:
    """By model: the area between its g(r) (Å), or half of that between its angles' density, and the reference's."""
    key, axis, factor = {"g(r)": ("g", "r_A", 1.0), "angles": ("angles", "angle_deg", 0.5)}[what]
    reference = _of(rows, f"{kind}-md-{REFERENCE}-scratch")[0]
    models = [v for v in _arms(rows, kind, "md-", count)[arm] if v["whole"]]
    if not models or not reference["whole"]:
        return np.array([])
    step = reference[axis][1] - reference[axis][0]
    return np.array([factor * step * np.abs(np.subtract(v[key], reference[key])).sum() for v in models])


def _structure(kind: str, what: str) -> Callable[[Rows], str]:
    def ours(rows: Rows) -> str:
        def one(n: int) -> str:
            found = {arm: distances(rows, kind, n, arm, what) for arm in ARMS}
            words = [f"{a} {d.mean():.3f} ± {d.std():.3f}" if len(d) else f"{a}: none whole" for a, d in found.items()]
            if not all(map(len, found.values())):
                return ", ".join(words)
            excess, spread = found["transfer"].mean() - found["scratch"].mean(), sum(d.std() for d in found.values())
            told = excess > spread and all(len(d) > 1 for d in found.values())
            note = "**negative transfer**" if told else "transfer further, within the spreads or of one model"
            reference = rows[f"{kind}-{REFERENCE}-scratch-0"]["values"][MAE["force"][0]]
            if 1000.0 * reference > _errors(rows, kind, n, "force")["transfer"].mean():
                note += ", from a reference with larger force errors than transfer's"
            return ", ".join(words) + f" ({note})" * (excess > 0)

        return _lines(rows, kind, "md-", one)

    return ours


def _claims() -> list[tuple[str, str, Callable[[Rows], str]]]:
    """First what is said of each architecture, the paper's own first, then of both."""
    found = []
    for kind, name in KINDS.items():
        found += [
            (f"{name}: silicon's test RMSE", "21.8 meV/atom, 0.10 eV/Å", _silicon(kind)),
            (f"{name}: learning rates", "searched for each model (supplement)", _choices(kind)),
        ]
        for what in MAE:
            paper = "<br>".join(f"{n}: {gain} %" for n, gain in PAPER[what].items())
            found.append((f"{name}: {what} MAE on Ge, lower by transfer than from scratch", paper, _gains(kind, what)))
        paper = "<br>".join(
            f"{n}: " + ", ".join(f"{arm} {WHOLE[arm][n]} of 100" for arm in ARMS) for n in WHOLE[ARMS[0]]
        )
        further = "transfer's further from experiment than scratch's"
        found += [
            (f"{name}: energy of the liquid above the crystal, error (meV/atom)", "not said", _melting(kind)),
            (f"{name}: energy MAE below 43 meV/atom", "transfer from 10, scratch from 195", _chemical(kind)),
            (f"{name}: runs of the liquid that stay whole (paper: 100 ps)", paper, _whole(kind)),
            (f"{name}: g(r), distance from that of scratch with 195 (Å)", further, _structure(kind, "g(r)")),
            (f"{name}: angles, half the area between (0 to 1)", further, _structure(kind, "angles")),
        ]
    for what in MAE:
        paper = f"{np.mean(list(PAPER[what].values())):.0f} % over all five sizes"
        found.append((f"{what} MAE, mean gain", paper, _mean_gain(what)))
    return found


CLAIMS = _claims()


def figure(rows: Rows, path: Path) -> None:
    """For each architecture: errors by size, and the liquid's structure with 10 structures, mean and spread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = [kind for kind in KINDS if _counts(rows, kind)]
    picture = Figure(figsize=(14, 3.4 * max(1, len(kinds))), layout="constrained")
    canvas = FigureCanvasAgg(picture)
    for line, kind in zip(picture.subplots(max(1, len(kinds)), 4, squeeze=False), kinds):
        for axes, what in zip(line, MAE):
            _by_size(axes, rows, kind, what)
        for axes, key in zip(line[2:], ("g", "angles")):
            _of_liquid(axes, rows, kind, key)
    canvas.print_png(str(path))


def _by_size(axes, rows: Rows, kind: str, what: str) -> None:
    from matplotlib.ticker import NullLocator

    counts = _counts(rows, kind)
    for arm in ARMS:
        errors = [_errors(rows, kind, n, what)[arm] for n in counts]
        means, spreads = [e.mean() for e in errors], [e.std() for e in errors]
        axes.errorbar(counts, means, spreads, fmt="o-", color=COLOURS[arm], label=arm, capsize=2)
    if what == "energy":
        axes.axhline(CHEMICAL, color="k", ls="--", lw=0.8)
    axes.set(
        xscale="log", yscale="log", xlabel="structures of Ge", ylabel=f"{what} MAE ({MAE[what][1]})", title=KINDS[kind]
    )
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend(fontsize=8)


def _of_liquid(axes, rows: Rows, kind: str, key: str) -> None:
    axis = {"g": "r_A", "angles": "angle_deg"}[key]
    styles = [(10, "scratch", "-"), (10, "transfer", "-"), (REFERENCE, "scratch", "--")]
    for count, arm, style in styles:
        try:
            found = [v for v in _of(rows, f"{kind}-md-{count}-{arm}").values() if v["whole"]]
        except KeyError:
            continue
        if not found:
            continue
        x, y = found[0][axis], np.array([v[key] for v in found])
        colour = "k" if count == REFERENCE else COLOURS[arm]
        axes.plot(
            x, y.mean(0), style, color=colour, lw=1.2, label=f"{arm}, {count} ({len(y)} model{'s' * (len(y) > 1)})"
        )
        axes.fill_between(x, y.mean(0) - y.std(0), y.mean(0) + y.std(0), color=colour, alpha=0.2, lw=0)
    labels = {"g": ("r (Å)", "g(r)"), "angles": ("angle (°)", "density (1/°)")}[key]
    axes.set(xlabel=labels[0], ylabel=labels[1], title=f"{KINDS[kind]}, liquid Ge, 1200 K")
    if axes.lines:
        axes.legend(fontsize=8, loc={"g": "lower right", "angles": "lower center"}[key])
    else:
        axes.text(0.5, 0.5, "not measured yet", ha="center", transform=axes.transAxes)
