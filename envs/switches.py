"""Rules by name, those with switches too: `synergai:order=edf:hold=off`, `mael:window=tau`.

A rule whose switches are named has a number of its own, from which compiled code reads them.
"""

from synergai.envs.rules import MAEL_CODES, RULE_NUMBER, SYNERGAI_CODES

SYNERGAI = {
    "order": ("slack", "edf", "fifo"),
    "choice": ("fastest", "tightest", "energy"),
    "hold": ("on", "off"),
    "hopeless": ("last", "in_order"),
    "configuration": ("throughput", "energy"),
}
WINDOW = {"window": ("0.1tau", "10ms", "tau")}
SWITCHES = {"synergai": SYNERGAI, "mael": WINDOW, "slo_mael": WINDOW, "slo_mael_published": WINDOW}
"""The switches of each rule and their values, the default first."""
FIRST_CODE = {
    "synergai": SYNERGAI_CODES,
    "mael": MAEL_CODES,
    "slo_mael": MAEL_CODES + 3,
    "slo_mael_published": MAEL_CODES + 6,
}


def is_rule(name: str) -> bool:
    """Whether it is the name of a rule, perhaps followed by switches."""
    return name.split(":")[0] in RULE_NUMBER


def rule_number(name: str) -> int:
    """Of a rule, with or without switches; ValueError says what is wrong with the name."""
    rule, *words = name.split(":")
    if rule not in RULE_NUMBER:
        raise ValueError(f"no rule {name!r}; there are {', '.join(sorted(RULE_NUMBER))}")
    if not words:
        return RULE_NUMBER[rule]
    if rule not in SWITCHES:
        raise ValueError(f"scheduler {name!r}: {rule} has no switches; {', '.join(SWITCHES)} have")
    chosen = _chosen(name, words, SWITCHES[rule])
    code, radix = 0, 1
    for switch, values in SWITCHES[rule].items():
        code += radix * values.index(chosen.get(switch, values[0]))
        radix *= len(values)
    return FIRST_CODE[rule] + code


def _chosen(name: str, words: list[str], switches: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """The value of each switch that is named."""
    chosen: dict[str, str] = {}
    for word in words:
        switch, sign, value = word.partition("=")
        if switch not in switches or not sign:
            raise ValueError(f"scheduler {name!r}: no switch {word!r}; there are {', '.join(switches)}")
        if value not in switches[switch]:
            known = ", ".join(switches[switch])
            raise ValueError(f"scheduler {name!r}: {switch} is {value!r}; there are {known}")
        if switch in chosen:
            raise ValueError(f"scheduler {name!r}: {switch} stands twice")
        chosen[switch] = value
    return chosen
