"""The one form in which a quantity is kept, however it was written (apimachinery/pkg/api/resource/quantity.go)."""

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil

from synergai.k8s_bridge.admission.quantities import parse

_DECIMAL = {18: "E", 15: "P", 12: "T", 9: "G", 6: "M", 3: "k", 0: "", -3: "m"}
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_EXPONENT = re.compile(r"\+?(?:\d+\.?\d*|\.\d+)[eE]\+?(\d+)", re.ASCII)
_LARGEST = 2**63 - 1
_THOUSAND = 1000
"""The parts of one that lists of resources are rounded up to (pkg/apis/core/v1/defaults.go)."""


@lru_cache(4096)  # a cluster's pods share a few dozen sizes
def canonical(text: str) -> str:
    """Whole, with the largest suffix that leaves it so; QuantityError if it is no quantity.

    What is too large for Kubernetes is its largest number, but stays as it was written without a suffix.
    """
    text = text.strip()
    value = Fraction(ceil(number(text) * _THOUSAND), _THOUSAND)
    if value >= _LARGEST:
        return text if text[-1].isdigit() else str(_LARGEST)
    if text.endswith("i") and value.denominator == 1 and abs(value) >= 1024:
        return _binary(int(value))
    power = next((power for power in _DECIMAL if _is_whole(value, power)), 0) if value else 0
    digits = value / Fraction(10) ** power
    if text[-1].isdigit() and "e" in text.lower():
        return f"{digits}e{power}" if power else str(digits)
    return f"{digits}{_DECIMAL[power]}"


def number(text: str) -> Fraction:
    """What the quantity stands for, at most the largest number that Kubernetes knows."""
    exponent = _EXPONENT.fullmatch(text)
    if exponent and len(exponent[1].lstrip("0")) > 2:
        return Fraction(_LARGEST)
    return min(parse(text), Fraction(_LARGEST))


def _is_whole(value: Fraction, power: int) -> bool:
    return (value / Fraction(10) ** power).denominator == 1


def _binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < len(_BINARY) - 1:
        value //= 1024
        power += 1
    return f"{value}{_BINARY[power]}"
