"""Quantities are read exactly as Kubernetes means them; garbage is named."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.k8s_bridge.admission.quantities import QuantityError, count, cpu_milli, memory_mib


@pytest.mark.parametrize(
    ("text", "milli"),
    [
        ("1", 1000),
        ("500m", 500),
        ("0.1", 100),
        (".5", 500),
        ("1.0001", 1001),
        ("2k", 2_000_000),
        (4, 4000),
        ("0", 0),
    ],
)
def test_cpu_is_read_in_milli_and_rounded_up(text, milli):
    assert cpu_milli(text) == milli


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("1Gi", 1024),
        ("1Mi", 1),
        ("1048577", 2),
        ("1G", 954),
        ("1e9", 954),
        ("128974848", 123),
        ("1Ki", 1),
        ("0", 0),
    ],
)
def test_memory_is_read_in_mib_and_rounded_up(text, mib):
    assert memory_mib(text) == mib


def test_a_capacity_is_rounded_down():
    assert memory_mib("2047Ki", up=False) == 1


def test_a_count_may_have_a_suffix():
    assert count("1k") == 1000


@pytest.mark.parametrize(
    "text", ["", "abc", "1.2.3", "5mm", "1 Gi", "--1", "1e", "0x10", "1Kib", "٣", "nan", "inf", True]
)
def test_garbage_is_an_error_that_names_it(text):
    with pytest.raises(QuantityError, match=r"quantity|suffix"):
        cpu_milli(text)


def test_a_negative_request_is_an_error():
    with pytest.raises(QuantityError, match="negative"):
        memory_mib("-1Gi")


@given(st.text(max_size=80))
def test_no_text_raises_anything_but_a_quantity_error(text):
    with suppress(QuantityError):
        assert cpu_milli(text) >= 0
