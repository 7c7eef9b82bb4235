"""One Lab, every family of models: each is chosen in the session bar and moves atoms; two are asked for their health.

The models have random weights and are as small as they may be, for Ge. The worker, the runs and the files are real.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from atomlab.runs.directory import read_spec
from e2e.harness import LabPage
from e2e.test_lab import press, sticking_out, tab, text, to_top

STEPS = 5
CRYSTAL = "bulk:Ge,size=2x2x2"
# A process of its own makes the files (this one needs no torch) and tells the energy that each gives the crystal.
MAKE = """
import json, sys
from pathlib import Path
import torch, atomlab
from atomlab.simulate.structures import structure
folder, crystal = Path(sys.argv[1]), structure(sys.argv[2], None)
folder.mkdir(parents=True)
torch.manual_seed(0)
ge = {"elements": ["Ge"]}
mace = dict(ge, channels=4, l_edges=1, layers=1, correlation=1, radial_hidden=[8], readout_hidden=4, cutoff=4.0)
reann = dict(ge, waves=4, degree=1, hidden=[8], message_hidden=[8], cutoff=4.0)
made = {
    "mace": mace,
    "atomft": {"base": atomlab.create("mace", **mace), "readout": [8]},
    "mbnn": dict(ge, hidden=[8], pair_hidden=[8], pair_inputs=8),
    "dimenetpp": dict(ge, hidden=8, blocks=1, cutoff=4.0, radial=3, spherical=3),
    "gptff": dict(ge, layers=1, nodes=8, edges=8, radial=4, feedforward=16),
    "reann": dict(reann, rounds=0),
    "equireann": dict(reann, rounds=1),
    "stillinger-weber": ge,
    "lennard-jones": dict(ge, epsilon=0.1, sigma=2.2, cutoff=5.0),
    "morse": dict(ge, depth=0.4, alpha=1.4, r0=2.45, cutoff=5.0),
}
energies = {}
for name, config in made.items():
    model = atomlab.create(name, **config).eval()
    for parameter in model.parameters():  # some end in layers of zeros, which would make them all alike
        if parameter.requires_grad and not parameter.abs().max() > 0:
            torch.nn.init.normal_(parameter, std=0.05)
    atomlab.save(model, folder / f"{name}.safetensors")
    crystal.calc = model.calculator()
    energies[name] = crystal.get_potential_energy()
print(json.dumps(energies))
"""
CELL = f"""
import atomlab
L = atomlab.lab(settings={{"md": {{"steps": {STEPS}, "frame_every": 1, "temperature": 300.0}}}})
L
"""


def make_models(folder: Path) -> dict[str, float]:
    """One small file for each family; energy of the crystal in eV by name."""
    done = subprocess.run(
        [sys.executable, "-c", MAKE, str(folder), CRYSTAL],
        capture_output=True, text=True, check=False, timeout=100, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def open_lab(lab: LabPage) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    lab.open_notebook(book)
    lab.run_all()
    lab.wait_for(lab.page.locator(".al-lab"), 60, "the Lab")


def choose(lab: LabPage, name: str) -> None:
    """As a person does: in the session bar."""
    lab.page.locator(".al-session select[data-id=model]").select_option(label=f"{name}.safetensors")
    lab.wait_for(lambda: f"{name}.safetensors" in text(lab, ".al-headline"), 20, f"{name} in the panel's headline")


def runs(lab: LabPage, count: int) -> None:
    """Wait until so many runs are there and all have ended."""
    chip = lab.page.locator(".al-session .al-chip", has_text=f"{count} runs, 0 active")
    lab.wait_for(chip, 120, f"{count} runs to have ended")


def check_frames(run: Path, name: str, energy: float) -> None:
    """The run was made with this model: its file, its energy of the crystal, every frame."""
    assert Path(read_spec(run)["model"]).name == f"{name}.safetensors"
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    frames = [e for e in events if e["kind"] == "frame"]
    assert [f["step"] for f in frames] == list(range(STEPS + 1)), f"{name}: {events[-1]}"
    assert frames[0]["potential_energy"] == pytest.approx(energy, rel=1e-5, abs=1e-4)
    assert all(isinstance(f["potential_energy"], float) for f in frames), name
    assert frames[-1]["potential_energy"] != frames[0]["potential_energy"], f"{name}: nothing has moved"


def check_health(lab: LabPage, extensivity: str) -> None:
    """From the button beside the model's name to all findings, the dimers' picture and the covered elements."""
    page = lab.page
    press(lab, "health")
    lab.wait_for(page.locator(".al-check [data-id=start]:visible"), 20, "the health view")
    press(lab, "start")
    rows = page.locator(".al-check .al-line")
    lab.wait_for(rows.first, 150, "the first finding (kernels are compiled before it)")
    lab.wait_for(lambda: rows.count() == 13, 120, "all findings")
    assert extensivity in rows.filter(has_text="supercells add up").inner_text()
    lab.wait_for(page.locator(".al-check .js-plotly-plot .lines path").first, 60, "the dimers' curve")
    assert page.locator(".al-periodic .al-on").all_inner_texts() == ["Ge"]


@pytest.mark.timeout(400)
def test_every_family_can_be_chosen_and_works(lab: LabPage) -> None:
    start = time.monotonic()
    energies = make_models(lab.folder / "models")
    assert len({round(e, 4) for e in energies.values()}) == len(energies), f"models that are alike: {energies}"
    page, count, made = lab.page, 0, time.monotonic()
    open_lab(lab)
    tab(lab, "MD")
    lab.wait_for(page.locator(".al-md select[data-id=structure]"), 60, "the choice of the structure")
    page.locator(".al-md select[data-id=structure]").select_option(CRYSTAL)
    for name, energy in energies.items():
        choose(lab, name)
        lab.wait_for(page.locator(".al-md [data-id=start]:visible"), 20, "the button")
        press(lab, "start")
        count += 1
        runs(lab, count)
        lab.wait_for(lambda: f"MD frame {STEPS} of 0–{STEPS}" in text(lab, ".al-structure"), 20, "its last frame")
        newest = max((lab.folder / "atomlab-runs").glob("md-*"))
        check_frames(newest, name, energy)
        if name in ("mace", "gptff"):
            check_health(lab, {"mace": "✓ passed", "gptff": "– not claimed"}[name])
            count += 1
            runs(lab, count)
            to_top(lab)
            lab.screenshot(f"lab_health_{name}")
            assert not sticking_out(lab)
            tab(lab, "MD")
    errors = page.locator(".al-message.al-error")
    assert not errors.count(), errors.all_inner_texts()
    now = time.monotonic()
    lab.report(models=len(energies), files_s=round(made - start, 1), lab_s=round(now - made, 1))
