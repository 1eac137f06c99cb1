"""A column or level whose name holds the mark of our notes made them unreadable, and the table lost its dtypes."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, errors, read, write
from flytekitplugins.dolt.codec import pandas_frames
from flytekitplugins.dolt.codec.notes import NOTES_MARK
from flytekitplugins.dolt.model.sql_text import literal

ONE_REPOSITORY = True


@pytest.mark.parametrize("own", ["", "mine", f"mine\n{NOTES_MARK}is not JSON", f"{NOTES_MARK}{{}}\nmine"])
def test_the_mark_may_be_anywhere(config: Callable[..., DoltConfig], dolt: Callable[..., str], own: str) -> None:
    """Notes are found behind any text, whatever they are about, and the user's text stays as it is."""
    frame = pd.DataFrame({f"a {NOTES_MARK}b": pd.Categorical([f"{NOTES_MARK}x", f"\n{NOTES_MARK}"])})
    write(config("t"), pd.DataFrame({frame.columns[0]: ["x"]}))
    dolt("sql", "-q", f"alter table t comment={literal(own)}; call dolt_commit('-am', 'own', '--allow-empty')")
    for _ in range(2):
        write(config("t", keep_order=False), frame)
        back = read(config("t"))
        pd.testing.assert_frame_equal(
            back.sort_values(list(back), ignore_index=True), frame.sort_values(list(frame), ignore_index=True)
        )
    notes = dolt("sql", "-r", "json", "-q", "select table_comment from information_schema.tables where table_name='t'")
    assert notes.count("levels") == 1


def test_a_level_that_is_no_text(config: Callable[..., DoltConfig]) -> None:
    """A level that cannot be noted is refused, also where no row has it."""
    levels = pd.Index(["a", "\ud800"], dtype=object)
    with pytest.raises(errors.UnsupportedFrame, match="'v'.*category"):
        write(config("t"), pd.DataFrame({"v": pd.Categorical(["a"], categories=levels)}))


@pytest.mark.parametrize("note", [{"arrow": "no type"}, {"dtype": "integer"}, {"dtype": "float99"}], ids=str)
def test_notes_that_are_none(config: Callable[..., DoltConfig], dolt: Callable[..., str], note: dict[str, str]) -> None:
    """Rows can be added to a table in whose comment somebody wrote what is no type."""
    write(config("t", primary_key=["v"]), pd.DataFrame({"v": [1]}))
    comment = pandas_frames.Notes({"v": note}).to_comment()
    dolt("sql", "-q", f"alter table t comment={literal(comment)}; call dolt_commit('-am', 'own')")
    write(config("t", mode="append"), pd.DataFrame({"v": [2]}))
    assert read(config("t")).v.tolist() == [1, 2]
