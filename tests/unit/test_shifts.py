"""How far columns have moved: exact, whatever their type, and 0 where nothing has."""

from __future__ import annotations

import datetime as dt
import weakref
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from flytekitplugins.dolt.profiles.columns import profile_of
from flytekitplugins.dolt.profiles.shifts import Side, between, error_of, shift_of

INF = float("inf")

COLUMNS = {
    "integers": ([1, 2, 3, 4], "number"),
    "floats": ([0.5, np.nan, 1.5, 2.0], "number"),
    "with infinities": ([INF, -INF, 1.0, 2.0], "number"),
    "only infinities": ([INF, -INF, INF, INF], "number"),
    "beyond 53 bits": ([2**53, 2**53 + 1, 2**63 - 1, -(2**63)], "number"),
    "unsigned": (np.array([2**64 - 1, 0, 1, 2], "uint64"), "number"),
    "beyond 64 bits": ([10**30, -(10**30), 10**30 + 1, None], "number"),
    "decimals": ([Decimal("1.10"), Decimal("-2.2"), None, Decimal("9")], "number"),
    "wide decimals": ([Decimal("1e40"), Decimal("1e-30"), Decimal(0), Decimal(-1)], "number"),
    "flags": ([True, False, True, None], "flag"),
    "text": (["a", "ä", None, ""], "text"),
    "categories": (pd.Categorical(["x", "y", "x", None]), "text"),
    "categories of numbers": (pd.Categorical([1, 2, 1, 1]), "text"),
    "dates": ([dt.date(2020, 1, 1), dt.date(9999, 12, 31), None, dt.date(1, 1, 1)], "time"),
    "times of day": ([dt.time(0), dt.time(1), dt.time(23, 59, 59, 999999), None], "time"),
    "durations": (pd.to_timedelta([1, -2, 3, None], "h"), "time"),
    "moments": (pd.to_datetime(["2020-01-01", "2020-01-02", None, "2021-01-01"]), "time"),
    "nanoseconds": (pd.to_datetime([1, 2, 3, 4], unit="ns"), "time"),
    "zoned": (pd.to_datetime([1, 2, 3, 4], unit="s", utc=True).tz_convert("Asia/Tokyo"), "time"),
    "bytes": ([b"a", b"\xff", None, b""], "other"),
    "lists": ([[1], [2], [1], None], "other"),
    "dictionaries": ([{"a": 1}, {"b": [2]}, None, {"a": 1}], "other"),
    "nothing": ([None, None, None, None], "other"),
    "several types": ([1, "a", b"x", None], "text"),
    "complex": ([1j, 2, 3, 4], "text"),
}


def frame_of(name: str) -> pd.DataFrame:
    return pd.DataFrame({"v": COLUMNS[name][0]})


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_has_a_kind_and_no_shift_to_itself_in_another_order(name: str) -> None:
    """Rows in another order are the same: every number is exactly that of no change."""
    frame = frame_of(name)
    column = shift_of(frame, frame.iloc[::-1])["v"]
    assert column.kind == COLUMNS[name][1]
    assert (column.value, column.error, column.new_count, column.gone_count) == (0.0, 0.0, 0, 0)
    assert column.psi == (None if name == "nothing" else 0.0)
    assert column.before == column.after == profile_of(frame)["v"]
    assert column.before_counts == column.after_counts
    if column.edges:
        assert len(column.edges) == len(column.before_counts) + 1
        assert list(column.edges) == sorted(column.edges)
    assert sum(column.before_counts) + column.before_rest in (0, 4 - column.before.missing)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_beside_none_is_wholly_new(name: str) -> None:
    """Where only one side has values nothing is in common, and where neither has any nothing has moved."""
    frame = frame_of(name)
    for before, after in [(None, frame), (frame, None), (frame.iloc[:0], frame), (frame, frame.iloc[:0])]:
        assert shift_of(before, after)["v"].value == (0.0 if name == "nothing" else 1.0)
    assert shift_of(frame.iloc[:0], frame.iloc[:0])["v"].value == 0.0


@pytest.mark.parametrize("name", COLUMNS)
def test_what_notebooks_show_of_a_column_of_any_type(name: str) -> None:
    """Profiles and shifts are tables of HTML."""
    frame = frame_of(name)
    assert "<td>v</td>" in profile_of(frame)._repr_html_()
    assert "<td>v</td>" in shift_of(frame, frame.iloc[:2])._repr_html_()


def test_a_notebook_shows_six_digits_and_nothing_where_a_fact_does_not_apply() -> None:
    """Seventeen digits make the table wider than a page; integers keep all of theirs."""
    found = profile_of(pd.DataFrame({"share": [1 / 3, 2 / 3], "big": [2**53 + 1, 1], "name": ["a", "b"]}))
    assert found.to_frame().loc["big", "maximum"] == 2**53 + 1
    assert profile_of(pd.DataFrame()).to_frame().empty
    page = found._repr_html_()
    assert "<td>0.333333</td>" in page
    assert "<td>9007199254740993</td>" in page
    assert "<td></td>" in page
    assert "NULL" not in page
    assert "0.33333333" not in page


@pytest.mark.parametrize("other", COLUMNS)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_that_becomes_one_of_any_other_type_has_a_measure(name: str, other: str) -> None:
    """Whatever a column was and is, the measure is between 0 and 1, and the same both ways."""
    there, back = (shift_of(*map(frame_of, pair))["v"] for pair in [(name, other), (other, name)])
    assert 0 <= there.value <= 1
    assert there.value == back.value


def test_integers_that_are_one_float_are_told_apart() -> None:
    """2**53 and 2**53 + 1 are two values, beside a column of floats, too."""
    ints, floats = pd.DataFrame({"v": [2**53 + 1, 1]}), pd.DataFrame({"v": [2.0**53, 1.0]})
    assert shift_of(ints, floats)["v"].value == 0.5
    assert shift_of(ints, ints.assign(v=[2**53, 1]))["v"].value == 0.5


def test_equal_numbers_of_several_types_are_equal() -> None:
    """1, 1.0 and Decimal("1.00") are the same value, and the column is said to have another type."""
    ints = pd.DataFrame({"v": [1, 2]})
    for values in ([1.0, 2.0], [Decimal("1.00"), Decimal(2)], np.array([1, 2], "uint8")):
        shift = shift_of(ints, pd.DataFrame({"v": values}))
        assert (shift["v"].value, shift.retyped) == (0.0, ("v",))


def test_a_day_is_no_time_of_day_and_a_moment_is_itself_in_every_zone() -> None:
    """Times are compared where they can be: days and moments, times of day and durations."""
    noon = pd.DataFrame({"v": pd.to_datetime(["2020-01-01 12:00"])})
    tokyo = noon.assign(v=noon["v"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    assert shift_of(noon, tokyo)["v"].value == 0.0
    assert shift_of(pd.DataFrame({"v": [dt.time(12)]}), pd.DataFrame({"v": [dt.timedelta(hours=12)]}))["v"].value == 0.0
    assert shift_of(noon, pd.DataFrame({"v": [dt.time(12)]}))["v"].value == 1.0


def test_nan_and_null_are_missing_alike() -> None:
    """NaN of Arrow, which is a value there, is a missing value here, as NULL is; -0.0 is 0.0."""
    table = pa.table({"v": pa.array([float("nan"), None, 0.0, -0.0])})
    column = profile_of(table)["v"]
    assert (column.missing, column.distinct, column.missing_share) == (2, 1, 0.5)


def test_columns_that_are_new_gone_and_of_another_type_are_named() -> None:
    """Such columns stand in their lists, and among the columns, which come by how far they have moved."""
    before = pd.DataFrame({"same": [1, 2], "gone": [1, 2], "retyped": [1, 2]})
    after = pd.DataFrame({"same": [1, 2], "retyped": ["1", "2"], "new": [1, 2]})
    shift = shift_of(before, after)
    assert (shift.added, shift.removed, shift.retyped) == (("new",), ("gone",), ("retyped",))
    assert [column.name for column in shift] == ["retyped", "new", "gone", "same"]
    assert (shift["new"].before, shift["gone"].after) == (None, None)
    assert shift.to_frame().loc["same", "value"] == 0.0
    with pytest.raises(KeyError, match="other"):
        shift["other"]


def test_values_that_are_new_and_gone_are_named() -> None:
    """Categories are counted on both sides; what only one has is named, most frequent first."""
    column = shift_of(pd.DataFrame({"v": list("aabbbc")}), pd.DataFrame({"v": list("aadddee")}))["v"]
    assert (column.new_values, column.gone_values) == (("d", "e"), ("b", "c"))
    counts = dict(zip(column.categories, zip(column.before_counts, column.after_counts, strict=True), strict=True))
    assert counts == {"a": (2, 2), "b": (3, 0), "c": (1, 0), "d": (0, 3), "e": (0, 2)}


def test_a_histogram_of_small_integers_has_a_bin_for_each() -> None:
    """So a bar is a value; the edges hold all values, whatever their size."""
    column = shift_of(pd.DataFrame({"v": [0, 1, 1, 4]}), pd.DataFrame({"v": [4]}))["v"]
    assert column.edges == (0, 1, 2, 3, 4, 5)
    assert (column.before_counts, column.after_counts) == ((1, 2, 0, 0, 1), (0, 0, 0, 0, 1))


# ------------------------------------------------------------------------------------------------- held against SciPy

NUMBERS = {
    "integers": st.integers(-(2**63), 2**63 - 1),
    "small integers": st.integers(-3, 3),
    "floats": st.floats(allow_nan=False, width=64),
    "small floats": st.sampled_from([-INF, -1.5, -0.0, 0.0, 0.1, 2.5, INF]),
}


@settings(max_examples=200, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(NUMBERS)))
def test_numbers_have_the_statistic_of_scipy(data: st.DataObject, kind: str) -> None:
    """The Kolmogorov-Smirnov statistic, the quantiles and the bins are those of SciPy and numpy."""
    before, after = (data.draw(st.lists(NUMBERS[kind], min_size=1, max_size=60)) for _ in range(2))
    column = shift_of(pd.DataFrame({"v": before}), pd.DataFrame({"v": after}))["v"]
    ranks = {value: rank for rank, value in enumerate(sorted({*before, *after}))}  # SciPy computes in floats
    with np.errstate(divide="ignore"):  # in the p-value of one value on each side
        expected = stats.ks_2samp([ranks[v] for v in before], [ranks[v] for v in after], method="asymp").statistic
    assert column.value == pytest.approx(expected, abs=1e-9)
    assert column.after is not None
    shares, values = zip(*column.after.quantiles, strict=True)
    if kind != "integers":  # numpy's are floats
        assert list(values) == [np.quantile(after, share, method="inverted_cdf") for share in shares]
    if column.edges and not {INF, -INF} & {*before, *after}:
        for values, counts in ((before, column.before_counts), (after, column.after_counts)):
            assert list(counts) == in_bins(values, column.edges)


def in_bins(values: list[float], edges: tuple[float, ...]) -> list[int]:
    """Count values in bins as they are described: the lower edge belongs to a bin, the last upper one, too."""
    counts = [sum(low <= value < high for value in values) for low, high in pairwise(edges)]
    counts[-1] += sum(value == edges[-1] for value in values) if edges[-1] != edges[-2] else len(values)
    return counts


@settings(max_examples=200, deadline=None)
@given(
    before=st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60),
    after=st.lists(st.sampled_from("cdefghi"), min_size=1, max_size=60),
)
def test_categories_have_the_measures_of_scipy(before: list[str], after: list[str]) -> None:
    """The total variation is half the L1 distance, and the index is the entropy of SciPy both ways."""
    column = shift_of(pd.DataFrame({"v": before}), pd.DataFrame({"v": after}))["v"]
    values = sorted({*before, *after})
    was, now = (np.array([side.count(value) for value in values]) for side in (before, after))
    assert column.value == pytest.approx(np.abs(was / was.sum() - now / now.sum()).sum() / 2, abs=1e-9)
    was, now = was + 0.5, now + 0.5
    assert column.psi == pytest.approx(stats.entropy(was, now) + stats.entropy(now, was), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(
    before=st.lists(st.integers(0, 30), min_size=1, max_size=60),
    after=st.lists(st.integers(0, 30), min_size=1, max_size=60),
)
def test_the_index_of_numbers_is_that_of_tenths_of_both_sides(before: list[int], after: list[int]) -> None:
    """Bins are the tenths of all values, as numpy finds them; their index is the entropy of SciPy both ways."""
    column = shift_of(pd.DataFrame({"v": before}), pd.DataFrame({"v": after}))["v"]
    both = sorted(before + after)
    cuts = np.unique([both[-(-number * len(both) // 10) - 1] for number in range(1, 10)])
    cuts = cuts[cuts < both[-1]]
    was, now = (np.bincount(np.searchsorted(cuts, side), minlength=len(cuts) + 1) + 0.5 for side in (before, after))
    assert column.psi == pytest.approx(stats.entropy(was, now) + stats.entropy(now, was), abs=1e-9)


# ------------------------------------------------------------------------------------------------------------- samples


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_is_within_its_bound(seed: int) -> None:
    """What was drawn is said, is the same for the same seed, and is as near as the bound says; counts stay exact."""
    random = np.random.default_rng(seed)
    before = pd.DataFrame({"v": random.normal(size=20_000), "c": random.choice(list("abcde"), 20_000)})
    after = pd.DataFrame({"v": random.normal(0.3, 1, 30_000), "c": random.choice(list("abcdd"), 30_000)})
    exact, drawn = shift_of(before, after, sample=None), shift_of(before, after, sample=2_000, seed=seed)
    for name in ("v", "c"):
        assert exact[name].error == 0
        assert 0 < drawn[name].error < 0.2
        assert abs(exact[name].value - drawn[name].value) <= drawn[name].error
        assert sum(drawn[name].before_counts) == 2_000
    assert drawn == shift_of(before, after, sample=2_000, seed=seed)
    assert drawn["v"].after_counts != shift_of(before, after, sample=2_000, seed=seed + 100)["v"].after_counts
    sample = drawn["v"].after.sampled
    assert (sample.seed, sample.rows, sample.of) == (seed, 2_000, 30_000)
    assert drawn["v"].after.distinct == exact["v"].after.distinct
    assert shift_of(before, before, sample=2_000)["v"].value == 0


def test_the_bound_is_that_of_its_sources() -> None:
    """DKW with Massart's constant for numbers, Weissman for categories; half the risk each where both are drawn."""
    assert error_of("number", (None, None)) == 0.0
    assert error_of("number", ((1_000, 5), None)) == pytest.approx(np.sqrt(np.log(2 / 0.05) / 2_000))
    assert error_of("time", ((1_000, 5), (4_000, 5))) == pytest.approx(
        np.sqrt(np.log(2 / 0.025) / 2_000) + np.sqrt(np.log(2 / 0.025) / 8_000)
    )
    assert error_of("text", ((1_000, 5), None)) == pytest.approx(np.sqrt((5 * np.log(2) + np.log(20)) / 2_000))
    assert error_of("text", ((10, 1_000), None)) == 1.0
    assert error_of("number", ((0, 0), None)) == 1.0


def test_any_number_is_a_seed() -> None:
    """Below zero, too, and beyond what a machine word holds; each draws other rows, and always the same."""
    frame = pd.DataFrame({"v": range(10_000)})
    drawn = {seed: profile_of(frame, sample=50, seed=seed) for seed in (-5, 5, 0, 2**70, -(2**70))}
    assert len({found["v"].quantiles for found in drawn.values()}) == len(drawn)
    assert all(found == profile_of(frame, sample=50, seed=seed) for seed, found in drawn.items())


def test_a_profile_of_a_sample_is_exact_but_for_its_quantiles() -> None:
    """Only the quantiles are of the rows that were drawn."""
    frame = pd.DataFrame({"v": range(10_000), "t": ["a", "bb"] * 5_000})
    exact, drawn = profile_of(frame, sample=None), profile_of(frame, sample=500, seed=3)
    assert drawn["t"] == exact["t"]
    assert {**vars(drawn["v"]), "quantiles": None, "sampled": None} == {**vars(exact["v"]), "quantiles": None}
    assert exact["v"].quantiles == ((0.05, 499), (0.25, 2499), (0.5, 4999), (0.75, 7499), (0.95, 9499))
    assert all(
        abs(one[1] - other[1]) < 1_000 for one, other in zip(exact["v"].quantiles, drawn["v"].quantiles, strict=True)
    )


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=30))
def test_the_mean_of_integers_is_that_of_python(values: list[int]) -> None:
    """No sum overflows, and none is rounded before it is divided, whatever the sign and the size."""
    assert profile_of(pd.DataFrame({"v": pd.Series(values, dtype=object)}))["v"].mean == sum(values) / len(values)
    small = [value % 2**63 for value in values]
    assert profile_of(pa.table({"v": pa.array(small, pa.int64())}))["v"].mean == sum(small) / len(small)
    assert profile_of(pa.table({"v": pa.array([-v for v in small], pa.int64())}))["v"].mean == -sum(small) / len(small)


class Made:
    """Columns that are made when they are asked for, and tell which of others are still there then."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._made: list[tuple[str, weakref.ref[pa.ChunkedArray]]] = []
        self.kept: list[str] = []

    @property
    def column_names(self) -> list[str]:
        return list(self._table.column_names)

    def column(self, name: str) -> pa.ChunkedArray:
        self.kept += [other for other, made in self._made if other != name and made() is not None]
        found = pa.chunked_array(self._table.column(name).chunks)
        self._made.append((name, weakref.ref(found)))
        return found


def test_one_column_of_each_side_is_in_memory_at_a_time() -> None:
    """Whatever a column is compared with, it is gone when the next one is asked for."""
    before = pa.table({"a": range(100), "b": [f"{number}" for number in range(100)], "c": [1.5] * 100})
    after = before.set_column(2, "c", pa.array([2.5] * 100))
    old, new = Made(before), Made(after)
    found = between(Side(100, old), Side(100, new))
    assert found == shift_of(before, after)
    assert (old.kept, new.kept) == ([], [])


@pytest.mark.parametrize("name", COLUMNS)
def test_an_unchanged_column_is_that_of_one_that_was_counted_twice(name: str) -> None:
    """Rows in the same order are not counted again, and every number is what it is of rows in another order."""
    frame = frame_of(name)
    unchanged, moved = (shift_of(frame, other)["v"] for other in (frame.copy(), frame.iloc[::-1]))
    assert repr(unchanged) == repr(moved)


def test_rows_that_were_chosen_are_those_that_are_compared() -> None:
    """What the columns hold is of all rows, the measure of the chosen ones, and it says how far it may be off."""
    before = pa.table({"a": pa.chunked_array([range(50), range(50, 100)]), "b": ["x"] * 50 + ["y"] * 50})
    after = before.set_column(1, "b", pa.array(["x"] * 100))
    chosen = np.array([0, 10, 49, 50, 99])
    found = between(Side(100, before, chosen=chosen), Side(100, after, chosen=chosen))
    assert found["b"].value == 2 / 5
    assert (found["b"].before, found["b"].after) == (profile_of(before)["b"], profile_of(after)["b"])
    assert sum(found["a"].before_counts) == 5
    assert (found["a"].value, found["a"].is_sampled) == (0.0, True)
    other = between(Side(100, before, chosen=chosen), Side(100, before, chosen=np.array([0, 1, 2])))
    assert other["a"].value > 0.5
