"""Each strategy in the Fine-tune panel: its own fields, nothing that does nothing, and what is missing in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from atomlab.runs import parse
from atomlab.training.settings import STRATEGIES, settings_of
from atomlab_widgets.client import Client
from atomlab_widgets.markup import safe
from atomlab_widgets.panels.strategies import OWN, RATES, TITLES
from atomlab_widgets.screen import Lab

from . import fake_lab
from .fake_runs import Writer
from .test_runs_seen import items, until

# a value for each strategy's own fields that is not the default
GIVEN = {
    "naive": {"freeze": ["embedding"]},
    "transfer": {"parents": {"Ge": "Si"}, "freeze": ["readouts"]},
    "replay": {"replay": "sw-si", "replay_labels": "base", "replay_count": 7, "replay_method": "random",
               "replay_weight": 2.0},
    "lora": {"lora_rank": 2, "lora_alpha": 4.0, "freeze": ["embedding"]},
    "atomft": {"alpha": 0.3, "blocks": 2},
    "scratch": {},
}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    made = fake_lab.make(tmp_path / "runs", pause=0.01, start=False)
    made.hub.client.elements = lambda model: (14, 32)
    made.hub.source.load("sw-ge").join(20)
    made.session.dispatch("tab", tab="finetune")
    yield made
    made.close()


def choose(lab: Lab, **values: object) -> None:
    lab.panels["finetune"].form.values = values


def seen(lab: Lab, part: str = "") -> list[str]:
    return [f["name"] for f in lab.panels["finetune"].form.fields if not part or f[part]]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_shows_its_own_fields_and_starts_with_them(lab: Lab, strategy: str) -> None:
    assert set(GIVEN[strategy]) == set(OWN[strategy])
    choose(lab, strategy=strategy, **GIVEN[strategy], second_weights={"energy": 50.0})
    assert seen(lab, "own") == list(OWN[strategy]) and len(seen(lab, "own")) <= 5
    others = {n for kind in STRATEGIES.values() for n in kind.model_fields} - set(STRATEGIES[strategy].model_fields)
    assert not others & set(seen(lab)), "a setting of another strategy does nothing here"
    panel = lab.panels["finetune"]
    assert items(panel.buttons, "primary") == ["start"] and safe(TITLES[strategy][1]) in panel.cards.value
    panel.buttons.click("start")
    kind, values = lab.hub.client.started[-1]
    spec = parse({"kind": kind, **values})
    settings = settings_of(strategy, spec)
    taken = {n: getattr(spec if n == "replay" else settings, n) for n in GIVEN[strategy]}
    assert taken == GIVEN[strategy] and settings.second_weights == {"energy": 50.0}


def test_what_was_set_for_another_strategy_is_kept_but_not_given_to_the_run(lab: Lab) -> None:
    choose(lab, strategy="replay", replay_count=7)
    choose(lab, strategy="lora", replay_count=7)
    values = lab.panels["finetune"].values()
    assert not [name for name in values if name.startswith("replay")]
    choose(lab, strategy="replay", replay_count=7)
    assert lab.panels["finetune"].values()["replay_count"] == 7
    choose(lab, strategy="scratch", probe_md=10)
    assert not {"scratch_twin", "probe_md", "head"} & set(lab.panels["finetune"].values())
    assert "scratch_twin" not in seen(lab) and "probe_md" not in seen(lab), "there is no base to compare with"


def test_replay_suggests_the_bases_own_data_and_says_what_is_missing(lab: Lab) -> None:
    panel = lab.panels["finetune"]
    choose(lab, strategy="replay")
    assert panel.values()["replay"] == "atomlab-tiny-set"
    field = next(f for f in panel.form.fields if f["name"] == "replay")
    assert "learned from it" in field["reason"] and field["known"] == lab.hub.client.datasets()
    choose(lab, strategy="replay", replay=None)
    assert not items(panel.buttons, "primary")
    panel.buttons.click("replay-own")
    assert panel.values()["replay"] == "sw-ge" and panel.values()["replay_labels"] == "base"
    assert items(panel.buttons, "primary") == ["start"]


@pytest.mark.parametrize("strategy", ["naive", "lora", "atomft"])
def test_a_base_that_does_not_know_the_elements_is_said_before_the_run(lab: Lab, strategy: str) -> None:
    lab.hub.client.elements = lambda model: (14,)
    lab.hub._elements.clear()
    panel = lab.panels["finetune"]
    choose(lab, strategy=strategy)
    assert not items(panel.buttons, "primary") and "never seen Ge" in panel.buttons.items[0]["label"]
    panel.buttons.click("take-transfer")
    assert panel.values()["strategy"] == "transfer" and items(panel.buttons, "primary") == ["start"]


def test_tables_of_names_are_fields_and_probes_have_a_fold_of_their_own(lab: Lab) -> None:
    choose(lab, strategy="transfer")
    fields = {f["name"]: f for f in lab.panels["finetune"].form.fields}
    assert (fields["parents"]["kind"], fields["parents"]["item"]) == ("pairs", "string")
    for name in ("second_weights", "huber_deltas"):
        assert (fields[name]["kind"], fields[name]["item"]) == ("pairs", "number")
    folds = {f["fold"] for f in fields.values() if not (f["main"] or f["own"])}
    assert folds == {"watch other properties", "second stage", "more settings"}
    assert {n for n, f in fields.items() if f["fold"] == "watch other properties"} == {
        n for n in fields if n.startswith("probe_")
    }


def test_the_base_of_a_shipped_model_is_in_its_file(tmp_path: Path) -> None:
    client = Client(tmp_path)
    assert (client.ground("si-base"), client.ground("atomlab-tiny")) == ("sw-si", "atomlab-tiny-set")


def test_the_labs_own_model_and_data_are_of_two_levels_and_the_panel_says_so(lab: Lab) -> None:
    panel, pair = lab.panels["finetune"], ("atomlab-tiny", "sw-ge")
    assert (lab.session.model, lab.session.data) == pair and panel.hub.client.levels(*pair)[0] == "CHGNet 0.3.0"
    assert Client(lab.session.workspace).levels(*pair) == panel.hub.client.levels(*pair)
    assert "knows Ge at another level of theory (CHGNet 0.3.0; sw-ge: Stillinger-Weber)" in panel.headline.value
    assert (panel.strategy, panel.values()["learning_rate"]) == ("naive", RATES["atomlab-tiny", "naive"][0])
    field = next(f for f in panel.form.fields if f["name"] == "learning_rate")
    assert field["reason"].startswith(RATES["atomlab-tiny", "naive"][1]), "a number that nobody chose has its reason"
    choose(lab, strategy="replay")
    assert "learning_rate" not in panel.values(), "measured for one strategy only"
    choose(lab)
    lab.hub.client.levels = lambda model, data: ("Stillinger-Weber", "Stillinger-Weber")
    lab.session.dispatch("model", model="si-base")
    assert "level of theory" not in panel.headline.value and "learning_rate" not in panel.values()


def test_the_base_is_mapped_among_its_own_data_where_it_knows_the_elements(lab: Lab) -> None:
    panel = lab.panels["map"]
    lab.session.dispatch("tab", tab="map")
    assert panel.values() == {"model": "atomlab-tiny", "train": "atomlab-tiny-set", "test": "sw-ge"}
    assert "among <b>atomlab-tiny-set</b>" in panel.headline.value
    lab.hub.client.elements = lambda model: (14,)
    lab.session.dispatch("model", model="si-base")
    assert panel.values() == {"model": "si-base", "train": "sw-ge"}


def test_a_probes_warning_is_a_warning_and_the_plan_is_one_click_away(lab: Lab) -> None:
    writer = Writer(lab.session.workspace, {"kind": "finetune", "strategy": "naive"})
    writer.event("plan", values={"oversample": 3}, reasons={"oversample": "3, so that half of an epoch is new"})
    writer.event("notice", code="probe-forgetting-worse", text="The loss fell, but not everything got better.")
    panel = lab.panels["finetune"]
    panel.load()
    until(lab, lambda: any("not everything" in m.text for m in lab.session.messages))
    message = next(m for m in lab.session.messages if "not everything" in m.text)
    assert message.level == "warning" and ("open", "open") in message.actions
    panel.choices.click("show-plan")
    assert "so that half of an epoch is new" in panel.now.value and panel.picture.layout.display == "none"
    panel.choices.click("show-loss")
    assert panel.picture.layout.display == ""
    writer.release()
