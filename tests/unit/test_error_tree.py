"""The error tree: what each class is and keeps, and what the table of a server's words makes of words."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
from pathlib import Path

import pytest

from flytekitplugins.dolt import errors
from flytekitplugins.dolt.errors import (
    DoltError,
    HeadMoved,
    QueryFailed,
    RepositoryDamaged,
    RepositoryReadOnly,
    RevisionNotFound,
    TableNotFound,
    attempting,
    close_names,
    from_server,
)

CLASSES = [found for found in (getattr(errors, name) for name in errors.__all__) if not issubclass(found, Warning)]


def tree() -> dict[str, tuple[str, str]]:
    """Return name, builtin and explanation of each class, as the tree in the module's docstring draws it."""
    found = re.findall(r"^ +[├└]── (\w+) +(.+?) +\(also (\w+)\)$", errors.__doc__ or "", re.MULTILINE)
    return {name: (builtin, words) for name, words, builtin in found}


def test_all_is_complete_and_sorted() -> None:
    """`__all__` names every error class of the module, and they stand in order."""
    defined = [
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, Exception) and thing.__module__ == errors.__name__
    ]
    assert sorted(defined) == errors.__all__


def test_tree_in_the_docstring_is_the_tree() -> None:
    """The tree names exactly the classes of the module, each with the builtin or class that it really is."""
    assert {"DoltError", *tree()} == {found.__name__ for found in CLASSES}
    assert (errors.__doc__ or "").count("── ") == len(CLASSES) - 1
    for name, (builtin, _) in tree().items():
        also = getattr(errors, builtin, None)
        wanted = (DoltError, getattr(builtins, builtin)) if also is None else (also,)
        assert getattr(errors, name).__bases__ == wanted, name


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_error_keeps_its_message_and_facts(error: type[DoltError]) -> None:
    """Every error is a DoltError whose message is args[0] and its text, through pickle and copies, facts included."""
    message = "Cannot do 'x': found é and 🐎. Do this."
    made = error(message, path=Path("/x"), tables=["a"], code=1105)
    made.__notes__ = ["seen in a test"]  # what add_note does, which Python 3.10 lacks
    for one in (made, pickle.loads(pickle.dumps(made)), copy.copy(made), copy.deepcopy(made)):
        assert type(one) is error
        assert isinstance(one, DoltError)
        assert one.args == (message,)
        assert str(one) == message
        assert (one.path, one.tables, one.code) == (Path("/x"), ["a"], 1105)
        assert one.__notes__ == ["seen in a test"]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_each_fact_of_the_docstring_is_a_typed_attribute(error: type[DoltError]) -> None:
    """A program may look at each fact that the class names; one that was not known is there, too, and says nothing."""
    facts = re.findall(r"``(\w+)``", (error.__doc__ or "").partition("Fact")[2])
    assert set(facts) <= set(error.__annotations__)
    if error is not errors.OutcomeUnknown:  # what it is about is always known
        assert not [fact for fact in facts if getattr(error("Cannot do 'x'."), fact)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_message_may_be_rewritten(error: type[DoltError]) -> None:
    """flytekit puts words in front of args[0] and raises the error again; its class and facts stay."""
    made = error("Cannot do 'x'.", branch="b")
    made.args = (f"Error encountered while executing 't':\n  {made.args[0]}",)
    with pytest.raises(error, match=r"(?s)while executing 't'.*Cannot do 'x'\.") as caught:
        raise made
    assert caught.value.branch == "b"
    assert "Cannot do 'x'." in str(pickle.loads(pickle.dumps(made)))


def test_message_is_needed() -> None:
    """No error can be built without a message, which flytekit would fail on."""
    for error in CLASSES:
        with pytest.raises(TypeError, match="message"):
            error()


def test_builtin_catches_its_errors() -> None:
    """Somebody who knows only the builtins catches ours by them."""
    with pytest.raises(LookupError, match="no such"):
        raise TableNotFound("no such table")
    with pytest.raises(OSError, match="read only"):
        raise RepositoryReadOnly("read only")
    with pytest.raises(ConnectionError, match="gone"):
        raise errors.ConnectionLost("gone")


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("mian", ["main", "dev"], " Did you mean 'main'?"),
        ("Main", ["main"], " Did you mean 'main'?"),
        ("run/1", ["run/2", "run/3", "x"], " Did you mean 'run/3' or 'run/2'?"),
        ("zzz", ["main"], ""),
        ("x", [], ""),
    ],
)
def test_close_names(name: str, known: list[str], said: str) -> None:
    """The names nearest to a wrong one are offered, nearest first, and none when none is near."""
    assert close_names(name, known) == said


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (1105, "BRANCH NOT FOUND: x", RevisionNotFound),
        (1146, "table not found: x", TableNotFound),
        (1105, "table not found: x", QueryFailed),
        (1049, "database not found: x", RevisionNotFound),
        (0, "", QueryFailed),
        (1105, "dataset head is not ancestor of commit", HeadMoved),
        (1105, "fatal: read-only file system", RepositoryReadOnly),
        (1105, "checksum error", RepositoryDamaged),
        (1105, "possible data loss detected in journal file at offset 9: corrupted journal", RepositoryDamaged),
    ],
)
def test_words_without_a_server(code: int, message: str, error: type[DoltError]) -> None:
    """Words are found in any case, codes only where the row gives one, and the whole text is kept as facts."""
    with attempting("do it"):
        said = from_server(code, message)
    assert type(said) is error
    assert (said.code, said.server_message) == (code, message)
    assert str(said).startswith("Cannot do it: ")


def test_advice_is_a_sentence() -> None:
    """Every row ends in an advice that can follow the server's words."""
    for fault in errors._FAULTS:
        assert re.fullmatch(r"[A-Z].*[.]", fault.advice), fault.advice
