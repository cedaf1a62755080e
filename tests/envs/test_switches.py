"""Rules with switches by name."""

from itertools import product

import numpy as np
import pytest
from worlds import random_world, simulate

from synergai.envs.rules import MAEL_CODES, RULE_NUMBER, RULES, SYNERGAI_CODES
from synergai.envs.switches import SWITCHES, SYNERGAI, is_rule, rule_number


@pytest.mark.parametrize("name", RULE_NUMBER)
def test_a_rule_without_switches_keeps_its_number(name: str) -> None:
    assert rule_number(name) == RULE_NUMBER[name]


def test_rules_with_a_bit_come_first_and_windows_last() -> None:
    assert len(RULES) == 10
    assert list(RULE_NUMBER)[10:] == ["random", "round_robin", "mael", "slo_mael", "slo_mael_published"]


def test_every_combination_of_switches_has_a_number_of_its_own() -> None:
    numbers = []
    for rule, switches in SWITCHES.items():
        for values in product(*switches.values()):
            words = [f"{switch}={value}" for switch, value in zip(switches, values)]
            numbers.append(rule_number(":".join([rule, *words])))
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) == SYNERGAI_CODES
    assert sum(number < MAEL_CODES for number in numbers) == 72


def test_what_is_not_named_is_the_default() -> None:
    assert rule_number("synergai:order=slack") == SYNERGAI_CODES
    assert rule_number("synergai:hold=off:order=edf") == rule_number("synergai:order=edf:hold=off")


WRONG = {
    "synergai:ordre=edf": "no switch 'ordre=edf'; there are order, choice, hold, hopeless, configuration",
    "synergai:order=lifo": "order is 'lifo'; there are slack, edf, fifo",
    "synergai:order": "no switch 'order'",
    "synergai:": "no switch ''",
    "synergai:hold=on:hold=off": "hold stands twice",
    "mael:window=1s": "window is '1s'; there are 0.1tau, 10ms, tau",
    "edf:order=fifo": "edf has no switches; synergai, mael, slo_mael, slo_mael_published have",
    "sinergai:order=edf": "no rule 'sinergai:order=edf'; there are .*synergai",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_switch_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=WRONG[name]):
        rule_number(name)


def test_a_rule_with_switches_is_a_rule() -> None:
    assert is_rule("synergai:order=edf")
    assert not is_rule("rollout:8")


DEFAULTS = ":".join(f"{switch}={values[0]}" for switch, values in SYNERGAI.items())


@pytest.mark.parametrize("number", range(12))
def test_switches_at_their_defaults_are_the_rule_without_them(number: int) -> None:
    setting, tape = random_world(number, count=60)
    plain, spelled = (simulate(setting, tape, name).outcomes for name in ("synergai", f"synergai:{DEFAULTS}"))
    np.testing.assert_array_equal(plain, spelled)
