"""Quantities: exact, rounded and capped as ``k8s.io/apimachinery/pkg/api/resource`` does."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.objects.quantity import MAX_INT64, QuantityError, milli, parse, whole

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NANO = Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # zero in every dress
        ("0", 0),
        ("0n", 0),
        ("0Ki", 0),
        ("-0", 0),
        ("000", 0),
        ("0.000", 0),
        # binary and decimal suffixes differ by a letter, and by a tenth at Exa
        ("1Ki", 1024),
        ("7Mi", 7 * 2**20),
        ("6Gi", 6 * 2**30),
        ("5Ti", 5 * 2**40),
        ("4Pi", 4 * 2**50),
        ("3Ei", 3 * 2**60),
        ("5n", 5 * NANO),
        ("4u", 4000 * NANO),
        ("3m", Fraction(3, 1000)),
        ("8k", 8000),
        ("7M", 7 * 10**6),
        ("6G", 6 * 10**9),
        ("5T", 5 * 10**12),
        ("2P", 2 * 10**15),
        ("1E", 10**18),
        # exponents; E alone is Exa, E with digits is not
        ("1E-3", Fraction(1, 1000)),
        ("1e3", 1000),
        ("1E18", 10**18),
        ("1.3E+6", 1300000),
        ("0.5e-2", Fraction(5, 1000)),
        # fractions
        ("100.035k", 100035),
        ("0.0005k", Fraction(1, 2)),
        ("6.987654321G", 6987654321),
        ("100.035Ki", Fraction(10243584, 100)),
        ("0.025Ti", Fraction(274877906944, 10)),
        # finer than a billionth: some is asked for, so some is given
        ("3.001n", 4 * NANO),
        ("1.1E-9", 2 * NANO),
        ("0.0000000001", NANO),
        ("0.9n", NANO),
        ("-0.9n", -NANO),
        ("0.00000012345", 124 * NANO),
        ("0.000000000001Ki", 2 * NANO),
        # beyond int64
        ("9Ei", MAX_INT64),
        ("9223372036854775807Ki", MAX_INT64),
        ("-9Ei", -MAX_INT64),
        ("1e100", MAX_INT64),
        # allowed, if nobody's choice
        (".001", Fraction(1, 1000)),
        ("1.", 1),
        ("1.G", 10**9),
        ("+2Gi", 2 * 2**30),
        (42, 42),
        (-1, -1),
    ],
)
def test_parse(text: str | int, value: Fraction | int) -> None:
    assert parse(text) == value
    assert isinstance(parse(text), Fraction)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "-",
        ".",
        "-.",
        " 1",
        "1 ",
        "1\n",
        "1.1.M",
        "1+1.0M",
        "0.1mi",
        "0.1am",
        "aoeu",
        ".5i",
        "1i",
        "1e",
        "-3.01e-",
        "1mi",
        "1KiB",
        "1K",
        "1ki",
        "0x10",
        "1_000",
        "1,5",
        "--1",
        "٣",
        "１",
        "NaN",
        "inf",
        "1e1000",
        "9" * 65,
    ],
)
def test_no_quantity(text: str) -> None:
    with pytest.raises(QuantityError, match="is not a quantity"):
        parse(text)


def test_a_boolean_is_no_quantity_even_after_its_number_was_one() -> None:
    for function in (parse, milli, whole):
        assert function(1) is not None
        with pytest.raises(QuantityError):
            function(True)


@pytest.mark.parametrize(
    ("text", "thousandths", "units"),
    [
        ("1", 1000, 1),
        ("100m", 100, 1),
        ("1m", 1, 1),
        ("1u", 1, 1),
        ("1n", 1, 1),
        ("1001u", 2, 1),
        ("1.5", 1500, 2),
        ("2Gi", 2 * 2**30 * 1000, 2 * 2**30),
        ("0", 0, 0),
        ("-1500m", -1500, -2),
        ("-1u", -1, -1),
        ("8Ei", MAX_INT64, MAX_INT64),
        ("1Ei", MAX_INT64, 2**60),
    ],
)
def test_whole_numbers_are_rounded_away_from_zero(text: str, thousandths: int, units: int) -> None:
    assert milli(text) == thousandths
    assert whole(text) == units


_SCALES = {
    "": Fraction(1),
    "n": NANO,
    "u": NANO * 10**3,
    "m": NANO * 10**6,
    **{letter: Fraction(1000) ** (n + 1) for n, letter in enumerate("kMGTPE")},
    **{f"{letter}i": Fraction(1024) ** (n + 1) for n, letter in enumerate("KMGTPE")},
}


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Fraction]:
    """A quantity as text, and its exact value."""
    digits = st.text("0123456789", max_size=12)
    whole_part, fraction = draw(digits), draw(st.none() | digits)
    if not whole_part and not fraction:
        whole_part = "7"
    sign = draw(st.sampled_from(["", "+", "-"]))
    exact = Fraction(int(whole_part + (fraction or "") or "0"), 10 ** len(fraction or ""))
    if draw(st.booleans()):
        suffix, scale = draw(st.sampled_from(sorted(_SCALES.items())))
    else:
        power = draw(st.integers(-25, 25))
        suffix = draw(st.sampled_from("eE")) + draw(st.sampled_from(["", "+"] if power >= 0 else [""])) + str(power)
        scale = Fraction(10) ** power
    text = sign + whole_part + ("." + fraction if fraction is not None else "") + suffix
    return text, exact * scale * (-1 if sign == "-" else 1)


@relaxed
@given(written())
def test_parse_is_exact_up_to_a_billionth_and_never_nearer_to_zero(case: tuple[str, Fraction]) -> None:
    text, exact = case
    value = parse(text)
    if abs(exact) >= MAX_INT64:
        assert abs(value) == MAX_INT64
    else:
        assert abs(exact) <= abs(value) < abs(exact) + NANO
        assert (value / NANO).denominator == 1
        if (exact / NANO).denominator == 1:
            assert value == exact
    assert value * exact >= 0


@relaxed
@given(written())
def test_units_are_the_smallest_whole_numbers_that_cover_the_value(case: tuple[str, Fraction]) -> None:
    text, _ = case
    for number, exact in ((milli(text), parse(text) * 1000), (whole(text), parse(text))):
        if abs(number) < MAX_INT64:
            assert abs(number) - 1 < abs(exact) <= abs(number)
        else:
            assert abs(exact) > MAX_INT64 - 1


@relaxed
@given(st.text("0123456789+-.eEinumkKMGTP ", max_size=12))
def test_any_text_is_a_quantity_or_an_error(text: str) -> None:
    with suppress(QuantityError):
        assert abs(parse(text)) <= MAX_INT64
