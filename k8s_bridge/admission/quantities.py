"""Kubernetes quantities (`500m`, `2Gi`, `1e3`) as whole milli-CPU, MiB and counts.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor

_QUANTITY = re.compile(r"([+-]?)([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2}|[A-Za-z]{0,2})", re.ASCII)
_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}
_LONGEST = 64
"""Characters; the API server's own canonical forms need fewer than 25."""


class QuantityError(ValueError):
    """Not a Kubernetes quantity; the message names the value."""


_kept = lru_cache(4096, typed=True)
"""A cluster's pods share a few dozen sizes."""


@_kept
def parse(value: str | int | float) -> Fraction:
    """The exact number a quantity stands for."""
    text = str(value)
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or isinstance(value, bool):
        raise QuantityError(f"{text[:_LONGEST]!r} is not a Kubernetes quantity such as 500m, 2 or 4Gi")
    sign, digits, suffix = match.groups()
    number = Fraction(digits) * _multiplier(suffix, text)
    return -number if sign == "-" else number


def _multiplier(suffix: str, text: str) -> Fraction:
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if suffix[0] in "eE" and len(suffix) > 1:
        return Fraction(10) ** int(suffix[1:])
    raise QuantityError(f"{text!r} has the unknown suffix {suffix!r}")


def _whole(value: str | int | float, unit: Fraction, up: bool) -> int:
    number = parse(value) / unit
    if number < 0:
        raise QuantityError(f"{value!r} is negative")
    return ceil(number) if up else floor(number)


@_kept
def cpu_milli(value: str | int | float, up: bool = True) -> int:
    """Milli-CPU; a request is rounded up, a capacity (`up=False`) down."""
    return _whole(value, _SUFFIXES["m"], up)


@_kept
def memory_mib(value: str | int | float, up: bool = True) -> int:
    """MiB; a request is rounded up, a capacity (`up=False`) down."""
    return _whole(value, _SUFFIXES["Mi"], up)


@_kept
def count(value: str | int | float, up: bool = True) -> int:
    """Whole things: pods, devices."""
    return _whole(value, _SUFFIXES[""], up)
