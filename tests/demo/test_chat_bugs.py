"""Each bug of the chat shows its own pattern, over a real server, a real client and a stock exporter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acceptfirst.catalogue import load_catalogue
from acceptfirst_chat.bugs import BUGS
from acceptfirst_chat.plants import BUG_ROUTES, CODE_PLANTS, DENIAL, PLANTS, Plant, chosen
from acceptfirst_chat.visitors import BEHAVIOURS


@pytest.mark.parametrize("plant", CODE_PLANTS, ids=lambda plant: plant.name)
def test_bug_shows_its_own_pattern_and_no_other(bugs_met: Any, plant: Plant) -> None:
    """One visit, one violation, of the planted kind."""
    assert bugs_met.found.get(plant.route) == [plant.pattern]


def test_denial_response_shows_no_pattern(bugs_met: Any) -> None:
    """The negative control: a refusal as it should be."""
    assert DENIAL.route not in bugs_met.found


def test_ledger_has_each_bug_once(bugs_met: Any) -> None:
    """Every bug wrote itself down, and none twice."""
    assert bugs_met.happened.planted == dict.fromkeys(BUG_ROUTES, 1)


def test_ledger_counts_every_connection(bugs_met: Any) -> None:
    """Also the ones that were refused."""
    assert bugs_met.happened.connections == len(BUG_ROUTES)


def test_ledger_counts_the_transitions_that_arrive(bugs_met: Any) -> None:
    """What was handed to the exporter is what the receiver got, since the backend flushes when it stops."""
    assert bugs_met.happened.transitions == bugs_met.transitions


def test_each_bug_has_code_and_a_visitor() -> None:
    """The three tables name the same bugs."""
    assert set(BUGS) == set(BEHAVIOURS) == set(BUG_ROUTES)


def test_each_plant_is_a_pattern_of_the_catalogue() -> None:
    """The demo could not find what the catalogue does not know."""
    catalogue = load_catalogue()

    assert [
        plant.name for plant in PLANTS.values() if plant.pattern is not None and plant.pattern not in catalogue
    ] == []


def test_chosen_refuses_a_name_that_is_no_bug() -> None:
    """And says which there are."""
    with pytest.raises(ValueError, match=r"double_close.*but got tripple_close"):
        chosen("double_close,tripple_close")


def test_chosen_gives_the_named_bugs_in_their_order() -> None:
    """Spaces around the commas are no part of a name."""
    assert [plant.name for plant in chosen("double_close, double_accept")] == ["double_close", "double_accept"]


def test_readme_has_every_plant_with_its_mistake() -> None:
    """Backticks apart, word for word as in the table of plants."""
    readme = (Path(__file__).parents[2] / "examples" / "chat" / "README.md").read_text().replace("`", "")
    rows = {plant.name: f"| {plant.name} | {plant.mistake} |" for plant in CODE_PLANTS}

    assert [name for name, row in rows.items() if row not in readme] == []
