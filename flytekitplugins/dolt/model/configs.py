"""What users write: configurations, branch policies, remotes, secrets and commits. Values only, no I/O.

A `DoltConfig` says where and what, a branch policy says on which branch. All of them travel through Flyte by
themselves, inside containers and inside dataclasses of the user's own. A `DoltTable` (in `table`) joins a config with
rows; what reads and writes takes a config, or a config `Pinned` to a commit. Users import these classes from `schema`.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import os
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

from ...doltdb import redaction
from ...doltdb.fields import described
from ...doltdb.patterns import pattern
from ...doltdb.redaction import discreet
from ..errors import InvalidConfig
from . import location, options, query_parameters, timepoints, trust
from .naming import check_branch_name, check_revision, check_table_name, check_tag_name
from .serialization import OneOfSeveral, Portable, check_nesting, from_fields

__all__ = [
    "LAST_CONSUMED",
    "Branch",
    "CallbackMeta",
    "Changes",
    "Commit",
    "DoltConfig",
    "DoltMeta",
    "MergeBranch",
    "Meta",
    "NewBranch",
    "Remote",
    "Secret",
    "SerialBranch",
]

PUBLIC_MODULE = "flytekitplugins.dolt.schema"
"""Where users import these classes from, and so what pickles name, whichever file holds a class."""

_V = TypeVar("_V", bound="Portable")

_PARAMETER = pattern(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Branch(OneOfSeveral):
    """Base of the branch policies; a field annotated with it takes and gives back any of them."""


@described
@dataclass(frozen=True)
class SerialBranch(Branch):
    """Work on one existing branch, one commit after the other.

    >>> SerialBranch("main").branch
    'main'
    """

    branch: str | None = None
    """The branch; None (the default) is the one that the repository has checked out, or a server's default branch.
    Example: ``SerialBranch("main")``."""

    def __post_init__(self) -> None:
        if self.branch is not None:
            check_branch_name(self.branch)


@described
@dataclass(frozen=True)
class NewBranch(Branch):
    """Write on a branch of this name, which is created by the first write; a read never creates it.

    >>> NewBranch("run/a_is_2").branch
    'run/a_is_2'
    """

    branch: str
    """The branch to create, or to continue on when it exists. Example: ``NewBranch("run/1")``."""

    base: Any = field(default=None, kw_only=True)
    """What a created branch starts from: a branch, tag, hash or other revision, as ``as_of`` takes it, or a table
    at a commit (kept as the text of its hash); None (the default) is the head of the checked-out branch. Example:
    ``NewBranch("run/1", base="dev")``."""

    def __post_init__(self) -> None:
        check_branch_name(self.branch)
        if self.base is not None:
            object.__setattr__(self, "base", check_revision(_revision_text(self.base)))


@described
@dataclass(frozen=True)
class MergeBranch(Branch):
    """Write on a branch, and merge the result three-way into another; a conflict leaves both as they were.

    A read takes what is in ``into``.

    >>> MergeBranch("run/1", into="main").to_dict()
    {'_type': 'MergeBranch', 'branch': 'run/1', 'into': 'main'}
    """

    branch: str
    """The branch to write on; it is created from ``into`` when it is missing. Example: ``MergeBranch("run/1")``."""

    into: str | None = field(default=None, kw_only=True)
    """The branch to merge into; None (the default) is the checked-out branch. Example:
    ``MergeBranch("run/1", into="main")``."""

    def __post_init__(self) -> None:
        check_branch_name(self.branch)
        if self.into is not None:
            check_branch_name(self.into)
        if self.branch == self.into:
            raise InvalidConfig(f"Cannot use {self!r}: a branch is not merged into itself. Name two branches.")


@dataclass(frozen=True)
class Meta(OneOfSeveral):
    """Base of what is told of each load and save of a table."""


@described
@dataclass(frozen=True)
class DoltMeta(Meta):
    """Note each load and save as a row of a table: what, when, from and to which commit, by which execution.

    >>> DoltMeta("meta", "actions").to_dict()
    {'_type': 'DoltMeta', 'db_path': 'meta', 'tablename': 'actions'}
    """

    db_path: str
    """The repository that holds the table; another one than that of the data keeps its log free of these commits.
    Example: ``DoltMeta("meta")``."""

    tablename: str = "actions"
    """The table; it is created by the first row. Example: ``DoltMeta("meta", "actions")``."""

    branch: str | None = field(default=None, kw_only=True)
    """The branch of that repository, created by the first row; None (the default) is the checked-out one. Example:
    ``DoltMeta("meta", branch="log")``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "db_path", os.fspath(self.db_path))
        self._refuse_passwords()
        check_table_name(self.tablename)
        if self.branch is not None:
            check_branch_name(self.branch)
        trust.name_server(self.db_path)

    def _refuse_passwords(self) -> None:
        _raise(location.refusal(self.db_path, advice="name a server that takes this user without one"))

    def __repr__(self) -> str:
        return _masked_repr(self)


@described
@dataclass(frozen=True)
class CallbackMeta(Meta):
    """Call a function with a dictionary that describes each load and save.

    >>> CallbackMeta("json:dumps").to_dict()
    {'_type': 'CallbackMeta', 'fn': 'json:dumps'}
    """

    fn: Any
    """The function, or its place as ``module:name``. In a value that travels it has to be one that can be
    imported, and that the code of the task which gets it has named: by a `CallbackMeta` of its own, or by
    `allow_callbacks`. Example: ``CallbackMeta("json:dumps")``."""

    def __post_init__(self) -> None:
        if not callable(self.fn) and not (isinstance(self.fn, str) and ":" in self.fn):
            raise InvalidConfig(f"Cannot use {self!r}: fn is a function, or the place of one as 'module:name'.")
        trust.name_function(self.fn)

    def to_dict(self) -> dict[str, Any]:
        """Return the place of the function.

        Raises:
            InvalidConfig: it has none, as a lambda or a function within a function.
        """
        place = trust.plain(self.fn) if isinstance(self.fn, str) else trust.place_of(self.fn)
        if "<" in place:
            raise InvalidConfig(
                f"Cannot send {self!r} through Flyte: another process cannot import {place!r}. Use a function "
                "of a module."
            )
        return {"_type": "CallbackMeta", "fn": place}


KINDS: tuple[Literal["added", "modified", "removed"], ...] = ("added", "modified", "removed")
"""What can have happened to a row."""

LAST_CONSUMED = "last consumed"
"""For `Changes`: since the state whose changes the table ``into`` holds already. (No branch has such a name.)"""


def _kinds(given: object) -> tuple[str, ...]:
    """Return kinds of changes in their own order.

    Raises:
        InvalidConfig: they are none.
    """
    if isinstance(given, str):
        raise InvalidConfig(f"Cannot read changes of the kinds {given!r}: that is a text. Give a tuple, as ('added',).")
    kinds = tuple(given) if isinstance(given, Iterable) else (given,)
    if not kinds or set(kinds) - set(KINDS):
        raise InvalidConfig(f"Cannot read changes of the kinds {kinds!r}: known are {', '.join(KINDS)}.")
    return tuple(kind for kind in KINDS if kind in kinds)


@described
@dataclass(frozen=True)
class Changes(Portable):
    """Which rows of a table are read: those that differ between two states, instead of all.

    The frame has ``diff_type`` (``added``, ``modified``, ``removed``), the table's columns with the row as it is, or,
    where it was removed, as it was, and ``before_<column>`` with what a modified row was before.

    >>> Changes(since="HEAD~1", kinds=("added",)).to_dict()
    {'since': 'HEAD~1', 'kinds': ['added']}
    """

    since: Any = None
    """The state that is compared with: all that ``as_of`` takes, a table at a commit, or `LAST_CONSUMED`; None
    (the default) is "before there was anything", so that every row is added. Example: ``Changes(since="HEAD~1")``."""

    until: Any = None
    """The state that is read; None (the default) is the config's branch as it is when the task starts. Example:
    ``Changes(since="v1", until="v2")``."""

    kinds: tuple[Literal["added", "modified", "removed"], ...] = KINDS
    """The kinds of changes that are read: of ``added``, ``modified`` and ``removed`` (all by default). Example:
    ``Changes(since="v1", kinds=("added",))``."""

    into: Any = None
    """Config of the table that the consumer writes. The commit that writes it says up to where the changes are in
    it, which is what `LAST_CONSUMED` goes by; so rows and position cannot part, whatever fails between. Example:
    ``Changes(since=LAST_CONSUMED, into=DoltConfig("foo", "totals"))``."""

    before_values: bool = True
    """Whether the frame has ``before_<column>`` with what modified rows were before. False reads half as much, where
    ``kinds`` leaves out removed rows, too. Example: ``Changes(since="v1", kinds=("added",), before_values=False)``."""

    def __post_init__(self) -> None:
        for name in ("since", "until"):
            object.__setattr__(self, name, _revision_text(getattr(self, name)))
        object.__setattr__(self, "kinds", _kinds(self.kinds))
        if not isinstance(self.before_values, bool):
            raise InvalidConfig(f"Cannot read changes with before_values={self.before_values!r}: it is True or False.")
        if self.into is not None and (not isinstance(self.into, DoltConfig) or self.into.tablename is None):
            raise InvalidConfig(f"Cannot consume changes into {self.into!r}: it takes a DoltConfig with a tablename.")
        if self.into is None and LAST_CONSUMED in (self.since, self.until):
            raise InvalidConfig(
                "Cannot read what changed since it was last consumed: it is not said into which table. Give "
                "Changes(since=LAST_CONSUMED, into=DoltConfig(...)) the config that the task writes with."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set as plain values."""
        given: dict[str, Any] = {"since": self.since, "until": self.until}
        given["kinds"] = list(self.kinds) if self.kinds != KINDS else None
        given["into"] = self.into.to_dict() if self.into is not None else None
        given["before_values"] = None if self.before_values else False
        return {k: v for k, v in given.items() if v is not None}

    @classmethod
    @discreet
    def from_dict(cls: type[_V], d: Mapping[str, Any]) -> _V:
        """Return the changes that ``d`` describes.

        Raises:
            InvalidConfig: an entry is unknown or of the wrong kind.
        """
        given = {k: v for k, v in d.items() if v is not None}
        if isinstance(given.get("into"), Mapping):
            given["into"] = DoltConfig.from_dict(given["into"])
        return from_fields(cls, given)


@described
@dataclass(frozen=True)
class Secret(Portable):
    """A password by the name under which Flyte keeps it; the value itself is in no config, literal or message.

    The task has to ask for it: ``@task(secret_requests=secret_requests(config))``.

    >>> Secret("dolt", "password").to_dict()
    {'group': 'dolt', 'key': 'password'}
    """

    group: str | None = None
    """Name of the secret (on Kubernetes, of the Secret object). Example: ``Secret(group="dolt")``."""

    key: str | None = None
    """Which entry of it. Example: ``Secret(group="dolt", key="password")``."""

    version: str | None = None
    """Version of the group, where the cluster has them. Example:
    ``Secret(group="dolt", key="password", version="2")``."""

    def __post_init__(self) -> None:
        given = [part for part in (self.group, self.key, self.version) if part is not None]
        if not (self.group or self.key) or not all(isinstance(part, str) and part for part in given):
            raise InvalidConfig(f"Cannot use {self!r}: a secret has a group, a key or both, as texts.")

    @classmethod
    def of(cls, given: Any) -> Secret:
        """Return ``given``, which may be flytekit's own ``Secret``, as one of this class.

        Raises:
            InvalidConfig: it names no secret.
        """
        if isinstance(given, Secret):
            return given
        if not hasattr(given, "group") or not hasattr(given, "key"):
            raise _no_secret(given)
        return Secret(given.group, given.key, getattr(given, "group_version", None))


@described
@dataclass(frozen=True)
class Remote(Portable):
    """Another repository, from which tasks clone and to which they push what they write.

    >>> Remote("https://doltremoteapi.dolthub.com/me/rabbits", user="me").to_dict()
    {'url': 'https://doltremoteapi.dolthub.com/me/rabbits', 'user': 'me'}
    """

    url: str
    """Where it is, as ``dolt clone`` takes it: ``https://…``, ``file:///…``, ``aws://…``, ``gs://…``, ``az://…``.
    Example: ``Remote("https://doltremoteapi.dolthub.com/me/rabbits")``."""

    branch: str | None = field(default=None, kw_only=True)
    """The branch that is meant where no branch is named; None (the default) is the one that ``dolt clone``
    chooses. Example: ``Remote("file:///srv/rabbits", branch="main")``."""

    user: str | None = field(default=None, kw_only=True)
    """Who logs in at a ``dolt sql-server``'s own endpoint; None (the default) is nobody, or Dolt's own
    credentials. Example: ``Remote("http://dolt.example:8000/rabbits", user="me")``."""

    secret: Secret | None = field(default=None, kw_only=True)
    """Where the password of `user` is. Example:
    ``Remote("http://dolt.example:8000/rabbits", user="me", secret=Secret("dolt", "password"))``."""

    def __post_init__(self) -> None:
        self._refuse_passwords()
        if not isinstance(self.url, str) or not self.url or self.url.startswith("-"):
            raise InvalidConfig(f"Cannot use {self.url!r} as the URL of a remote: give one that `dolt clone` takes.")
        if self.url.startswith(("/", "./", "../", "~")):
            raise InvalidConfig(
                f"Cannot use {self.url!r} as the URL of a remote: it is a path, which Dolt would look for on DoltHub. "
                "Write it as file:///folder."
            )
        if self.branch is not None:
            check_branch_name(self.branch)
        if self.secret is not None:
            object.__setattr__(self, "secret", Secret.of(self.secret))
            if not self.user:
                raise InvalidConfig(f"Cannot use {self!r}: a secret is the password of a user. Give user=..., too.")
        trust.name_remote(self.url)

    def _refuse_passwords(self) -> None:
        _raise(location.refusal(self.url, advice="give Remote(url, user=..., secret=Secret(group, key))"))

    def __repr__(self) -> str:
        return _masked_repr(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return super().to_dict() | ({"secret": self.secret.to_dict()} if self.secret is not None else {})

    @classmethod
    @discreet
    def from_dict(cls: type[_V], d: Mapping[str, Any]) -> _V:
        """Return the remote that ``d`` describes.

        Raises:
            InvalidConfig: an entry is unknown or missing.
        """
        given = dict(d)
        if isinstance(given.get("secret"), Mapping):
            given["secret"] = Secret.from_dict(given["secret"])
        return from_fields(cls, given)


@described
@dataclass
class DoltConfig(Portable):
    """Which repository, which table or query, on which branch.

    A plain mutable dataclass: it is checked when it is used, not when it is built. `tablename` and `sql` exclude each
    other, and one of them is needed.

    >>> DoltConfig(db_path="foo", tablename="rabbits", branch_conf=NewBranch("run/1")).to_dict()["branch_conf"]
    {'_type': 'NewBranch', 'branch': 'run/1'}
    """

    db_path: str
    """Folder of the Dolt repository (the one that holds ``.dolt``), or the URL of a database of a running Dolt
    server, ``mysql+pymysql://user@host:3306/database``. With `remote_conf` it is only the name by which the clone
    goes. Example: ``DoltConfig("foo", "rabbits")``."""

    tablename: str | None = None
    """Table to write or to read whole. Example: ``tablename="rabbits"``."""

    sql: str | None = None
    """One read-only SQL statement whose rows are the data (``AS OF`` included). Example:
    ``sql="select * from rabbits where count > 5"``."""

    io_args: dict[str, Any] | None = None
    """The options below as a dictionary, for configs that are written by hand.
    Example: ``io_args={"primary_key": ["id"]}``."""

    branch_conf: Branch | str | None = None
    """On which branch a task writes and reads: a policy, or a text, as ``"run/1"`` for ``NewBranch("run/1")``, which it
    becomes; None (the default) is ``SerialBranch()``, the checked-out branch. Example: ``branch_conf="run/1"``."""

    meta_conf: Meta | None = None
    """Who is told of each load and save: `DoltMeta` or `CallbackMeta`; None (the default) is nobody. Example:
    ``meta_conf=DoltMeta("meta")``."""

    remote_conf: Remote | None = None
    """The repository that is cloned and pushed to; None (the default) is the one at `db_path` itself. Example:
    ``remote_conf=Remote("file:///srv/rabbits")``."""

    primary_key: list[str] | None = field(default=None, kw_only=True)
    """Columns that make the key of a table created by this config; None (the default) makes a table without a key.
    Example: ``primary_key=["id"]``."""

    mode: Literal["replace", "append", "upsert", "delete"] | None = field(default=None, kw_only=True)
    """What a write does: ``"replace"`` all rows (the default), ``"append"``, ``"upsert"`` rows by their key, or
    ``"delete"`` the rows whose keys the frame has, whatever its other columns hold. Example: ``mode="upsert"``."""

    on_schema_change: Literal["refuse", "evolve", "replace"] | None = field(default=None, kw_only=True)
    """What a write does when the frame does not fit the table: ``"refuse"`` (the default), ``"evolve"`` the table
    (add columns, widen types), or ``"replace"`` it, keys and constraints included. Example:
    ``on_schema_change="evolve"``."""

    index: Literal["drop", "refuse", "keep"] | None = field(default=None, kw_only=True)
    """What a write does with an unnamed index that is not 0, 1, 2, ...: ``"drop"`` it, ``"refuse"`` it, or
    ``"keep"`` it, as named ones are, in a column ``__index_level_0__``. None (the default) drops one of integers,
    as a filter or sort leaves it, with a warning, and refuses others. Example: ``index="keep"``."""

    on_moved: Literal["merge", "replace"] | None = field(default=None, kw_only=True)
    """What a write of ``mode="replace"`` does where others have changed the table since the rows were read that
    its frame was made from: ``"merge"`` the frame's changes into the newest rows, or ``"replace"`` these. None
    (the default) merges where it is certain what the frame changes, and is `errors.TableMoved` where it is not.
    Example: ``on_moved="merge"``."""

    keep_order: bool | None = field(default=None, kw_only=True)
    """Whether a write keeps the order of rows, in a column ``_flyte_row`` of the table (default False). The order is
    versioned with the rows then: one that is inserted in the middle changes all behind it, in diffs and in what is
    stored. Example: ``keep_order=True``."""

    lock_timeout_s: float | None = field(default=None, kw_only=True)
    """Seconds that a write waits for other writers of its branch (default 60); then it is `errors.RepositoryBusy`.
    Example: ``lock_timeout_s=10``."""

    order_by: list[str] | None = field(default=None, kw_only=True)
    """Columns by which a table is read in order. None (the default) is the order of the key or, of a table without
    one, that of its values, column by column. ``[]`` is the order of storage, in which rows can be streamed.
    Example: ``order_by=["day"]``."""

    columns: list[str] | None = field(default=None, kw_only=True)
    """Columns that are read of a table, in this order; None (the default) is all. Example:
    ``columns=["id", "count"]``."""

    as_of: Any = field(default=None, kw_only=True)
    """Which state is read; None (the default) is the branch as it is now. A branch, tag, whole or abbreviated hash
    or ``HEAD~1`` as text, a datetime (UTC where it has no zone), a date (its end), a timedelta before now, or
    ``Ago(months=1)``. It is resolved once, when the task starts; for `sql` it holds for every table of the query.
    Example: ``as_of="v1"``."""

    changes: Changes | None = field(default=None, kw_only=True)
    """Read the rows that differ between two states instead of all rows; None (the default) reads all. Example:
    ``changes=Changes(since="HEAD~1")``."""

    tag: str | None = field(default=None, kw_only=True)
    """A tag that a write gives to its commit; None (the default) makes none.
    Example: ``tag="release/2024-05"``."""

    params: dict[str, Any] | None = field(default=None, kw_only=True)
    """Values for each ``:name`` in `sql`: text, numbers, bytes, dates and times, None, or a list of them for
    ``IN``. Example: ``params={"least": 5}``."""

    secret: Secret | None = field(default=None, kw_only=True)
    """Where the password of a server's user is; None (the default) is a user without one. Example:
    ``secret=Secret("dolt", "password")``."""

    read_from: list[str] | None = field(default=None, kw_only=True)
    """URLs of replicas of a server, which serve reads at a known commit; a user, database and options that they
    lack are those of `db_path`. Example: ``read_from=["mysql+pymysql://replica.example"]``."""

    triggers: Literal["refuse", "run"] | None = field(default=None, kw_only=True)
    """What a write does where it would start triggers of the table: ``"refuse"`` (the default), or ``"run"`` them.
    They may change the rows that are written, and other tables, in the same commit: nobody checks that then. Rows
    of a folder are loaded from a file, which starts no trigger of ``INSERT`` either way. Example:
    ``triggers="run"``."""

    message: str | None = field(default=None, kw_only=True)
    """Why a write happens: one line in the message of its commit, below the first. In a task ``{name}`` is the
    value of its input of that name (of a map task its list), as in ``"load of {day}"``; other braces are written
    twice. Example: ``message="load of {day}"``."""

    def __post_init__(self) -> None:
        self.as_of = _revision_text(self.as_of)
        self._take_over()
        trust.name_server(self.db_path, self.read_from)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, NewBranch(value) if name == "branch_conf" and isinstance(value, str) else value)

    @property
    def policy(self) -> Branch | None:
        """What `branch_conf` holds: a policy, also where a text was given."""
        return cast("Branch | None", self.branch_conf)

    def _take_over(self) -> None:
        """Convert the objects of the earlier plugin; fields may have been assigned since the config was made."""
        for name in ("branch_conf", "meta_conf", "remote_conf"):
            given = getattr(self, name)
            if type(given).__module__.startswith("dolt_integrations."):
                setattr(self, name, _taken_over(given))

    def __repr__(self) -> str:
        return _masked_repr(self, without_none=True)

    def __getstate__(self) -> dict[str, Any]:
        self._refuse_passwords()  # pickles travel, too
        return dict(self.__dict__)

    def _copied(self) -> DoltConfig:
        """Return a deep copy; what is wrong with the config is said where it is used, as of this one."""
        made = object.__new__(type(self))
        made.__dict__.update({name: _copied(value) for name, value in self.__dict__.items()})
        return made

    def _refuse_passwords(self) -> None:
        """Refuse, before a word is said about the config, a password in whatever would travel with it."""
        _raise(location.refusal(self.db_path, self.read_from))
        if isinstance(self.secret, (str, bytes)):
            raise _no_secret(self.secret)
        if self.io_args is not None and redaction.shown(self.io_args) != self.io_args:
            raise InvalidConfig(
                f"Cannot use {self!r}: io_args has a password in it, which would be stored and shown. Leave it out, "
                "and give the config secret=Secret(group, key)."
            )
        into = self.changes.into if isinstance(self.changes, Changes) else None
        for part in (self.remote_conf, self.meta_conf, into):
            if isinstance(part, (Remote, DoltMeta, DoltConfig)):
                part._refuse_passwords()

    def check(self) -> None:
        """Raise unless the fields make sense together.

        Raises:
            InvalidConfig: the fields contradict each other, or ask for what is not offered.
            InvalidName: `tablename` cannot name a table.
        """
        self._refuse_passwords()
        if not isinstance(self.db_path, (str, os.PathLike)) or not os.fspath(self.db_path):
            raise InvalidConfig(f"Cannot use {self!r}: db_path must be the path of a Dolt repository's folder.")
        if (self.tablename is None) == (self.sql is None):
            found = "neither is given" if self.sql is None else "both are given"
            raise InvalidConfig(
                f"Cannot use {self!r}: it needs a tablename or an sql query, and {found}. Keep exactly one of them."
            )
        if self.tablename is not None:
            check_table_name(self.tablename)
        self._take_over()
        if self.meta_conf is not None and not isinstance(self.meta_conf, Meta):
            raise InvalidConfig(
                f"Cannot use {self!r}: meta_conf is a {type(self.meta_conf).__name__}, and must be DoltMeta(...) or "
                "CallbackMeta(...) of flytekitplugins.dolt."
            )
        self._check_place()
        if self.branch_conf is not None and not isinstance(self.branch_conf, Branch):
            raise InvalidConfig(
                f"Cannot use {self!r}: branch_conf is a {type(self.branch_conf).__name__}, "
                "and must be NewBranch(...), SerialBranch(...) or MergeBranch(...) of flytekitplugins.dolt, or a "
                "text, the name of a new branch."
            )
        if not (_revision_text(self.as_of) or "HEAD").strip():
            raise InvalidConfig(f"Cannot use {self!r}: as_of is empty. Leave it out to read the branch as it is now.")
        if self.changes is not None:
            self._check_changes(self.changes)
        if self.tag is not None:
            check_tag_name(self.tag)
        if self.message is not None:
            from . import messages  # seldom needed, and flytekit is not to wait for it

            messages.check_template(self.message)
        self._check_params()
        self.options()

    def _check_changes(self, changes: Any) -> None:
        found = None
        if not isinstance(changes, Changes):
            found = f"changes is a {type(changes).__name__}, and must be Changes(...) of flytekitplugins.dolt"
        elif self.tablename is None:
            found = "the changes are those of a table, and it has none. Give it a tablename instead of sql"
        elif changes.until is not None and self.as_of is not None:
            found = "as_of and the until of its changes say the same thing twice. Leave one of them out"
        elif self.options().get("order_by"):
            found = "changes come in the order of the key. Leave order_by out"
        if found is not None:
            raise InvalidConfig(f"Cannot use {self!r}: {found}.")

    def _check_params(self) -> None:
        if self.params is None:
            return
        if self.sql is None or not isinstance(self.params, Mapping):
            raise InvalidConfig(f"Cannot use {self!r}: params is a dictionary of values for an sql query.")
        for name, value in self.params.items():
            if not isinstance(name, str) or not _PARAMETER.match(name):
                raise InvalidConfig(f"Cannot use {self!r}: {name!r} cannot stand as :name in a query. Use letters.")
            try:
                query_parameters.checked(value)
            except query_parameters.UnsupportedValue as error:
                raise InvalidConfig(
                    f"Cannot use params[{name!r}]: {error}. Give text, a number, bytes, a date or time, None, or a "
                    "list of them."
                ) from error

    def _check_place(self) -> None:
        if self.remote_conf is not None and not isinstance(self.remote_conf, Remote):
            raise InvalidConfig(
                f"Cannot use {self!r}: remote_conf is a {type(self.remote_conf).__name__}, and must be Remote(url)."
            )
        is_server = location.is_url(self.db_path)
        if is_server and self.remote_conf is not None:
            raise InvalidConfig(f"Cannot use {self!r}: db_path is a server and remote_conf a remote. Keep one of them.")
        if is_server:
            location.server(str(self.db_path), read_from=self.read_from or ())
            if self.secret is not None:
                Secret.of(self.secret)
        for name in ("secret", "read_from"):
            if getattr(self, name) is not None and not is_server:
                hint = " A remote's goes into it: Remote(url, user=..., secret=...)." if name == "secret" else ""
                raise InvalidConfig(
                    f"Cannot use {self!r}: {name} is for a server, and db_path is no URL. Leave it out.{hint}"
                )

    def options(self) -> dict[str, Any]:
        """Return the options that are set, be it as fields or in `io_args`, with names as lists.

        Raises:
            InvalidConfig: `io_args` has an unknown entry, or one that differs from the field of that name; a value is
                none of those that the field allows.
        """
        return options.chosen(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set as plain values, ready for JSON."""
        self._take_over()
        self._refuse_passwords()  # so that none gets into a literal
        trust.name_server(self.db_path, self.read_from)  # they may have been assigned since the config was made
        given: dict[str, Any] = {f.name: trust.plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        given["db_path"] = trust.plain(os.fspath(self.db_path))
        if self.secret is not None:
            given["secret"] = Secret.of(self.secret)
        given["as_of"] = _revision_text(self.as_of)  # it may have been assigned since the config was made
        if self.params is not None:
            self._check_params()
            given["params"] = query_parameters.canonical(self.params)
        return {k: v.to_dict() if isinstance(v, Portable) else v for k, v in given.items() if v is not None}

    @classmethod
    @discreet
    def from_dict(cls: type[_V], d: Mapping[str, Any]) -> _V:
        """Return the config that ``d`` describes.

        Raises:
            InvalidConfig: an entry is unknown, missing or of the wrong kind.
        """
        check_nesting(cls, d)
        given = {k: v for k, v in d.items() if v is not None}
        parts = {"branch_conf": Branch, "changes": Changes, "remote_conf": Remote, "secret": Secret, "meta_conf": Meta}
        kind: type[Portable]
        for name, kind in parts.items():
            if isinstance(given.get(name), Mapping):
                given[name] = kind.from_dict(given[name])
        if isinstance(given.get("params"), Mapping):
            given["params"] = _params_from(given["params"])
        return from_fields(cls, given)


def _copied(value: Any) -> Any:
    """Return a deep copy of a field, or the value itself where it is none that a config can have."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if type(value) is list and all(isinstance(item, str) for item in value):
        return value.copy()
    try:
        return copy.deepcopy(value)
    except (TypeError, AttributeError, pickle.PicklingError, InvalidConfig):
        return value


def _masked_repr(value: Any, *, without_none: bool = False) -> str:
    """Return what a dataclass prints, without passwords."""
    given = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    shown = redaction.shown({name: part for name, part in given.items() if part is not None or not without_none})
    return f"{type(value).__name__}({', '.join(f'{name}={part!r}' for name, part in shown.items())})"


def _no_secret(given: object) -> InvalidConfig:
    return InvalidConfig(f"Cannot use a {type(given).__name__} as a secret: give Secret(group, key).")


def _raise(error: InvalidConfig | None) -> None:
    if error is not None:
        raise error


def _taken_over(given: Any) -> Any:
    """Return what an object of ``dolt_integrations.core`` says, in our own words."""
    name = type(given).__name__
    if name == "NewBranch":
        return NewBranch(given.branch)
    if name == "SerialBranch":
        return SerialBranch(given.branch)
    if name == "MergeBranch":
        return MergeBranch(given.branch_from, into=given.merge_to)
    if name == "DoltMeta":
        return DoltMeta(given.db.repo_dir, given.tablename, branch=getattr(given.branch_config, "branch", None))
    if name == "CallbackMeta":
        return CallbackMeta(given.fn)
    if name == "Remote" and given.url and not given.force:
        return Remote(given.url)
    raise InvalidConfig(
        f"Cannot use {given!r} of the earlier plugin: a remote needs a url here, and is never pushed to by force. Use "
        "Remote(url) of flytekitplugins.dolt."
    )


def _revision_text(value: Any) -> str | None:
    if isinstance(value, TableRef) and value.commit is not None:
        value = value.commit
    return None if value is None else value.hash if isinstance(value, Commit) else timepoints.to_text(value)


@described
@dataclass(frozen=True)
class Commit:
    """One state of a whole repository, named by its hash.

    What is only known to the repository (author, date, message, parents) is filled in by `log`, and empty on a commit
    that was just named by a table.
    """

    hash: str
    """The 32 characters that name the commit everywhere and forever. Example: ``commit.hash[:8]``."""

    branch: str | None = None
    """The branch on which it was published or found. Example: ``commit.branch``."""

    parents: tuple[str, ...] = ()
    """Hashes of the commits it was made from. Example: ``len(commit.parents)``."""

    author: str | None = None
    """``Name <email>``. Example: ``commit.author``."""

    date: datetime | None = None
    """When it was made, in UTC with microseconds. Example: ``commit.date.isoformat()``."""

    message: str | None = None
    """The whole message, trailers included. Example: ``commit.message.splitlines()[0]``."""

    def __str__(self) -> str:
        return self.hash[:8]


class TableRef(Portable):
    """A table or query, and the commit at which it is read once that is known: a `DoltTable` without its rows."""

    if TYPE_CHECKING:
        # Not hints of the dataclass below this: flytekit visits each of those by name.
        config: DoltConfig
        _commit: Commit | None

    @property
    def commit(self) -> Commit | None:
        """The commit that holds the rows: set by the write, or when a task took the table as input; else None."""
        return self._commit


def refuse_other_than_config(given: object) -> None:
    """Say what to give where a config is taken, and something else is given.

    Raises:
        InvalidConfig: it is no `DoltConfig`.
    """
    if isinstance(given, DoltConfig):
        return
    do = "Give DoltConfig(db_path=..., tablename=...) first, and a frame, if there is one, after it."
    if isinstance(given, TableRef):
        do = "The rows of a table are its .data, at its commit; its config, which names no commit, is its .config."
    raise InvalidConfig(f"Cannot use a {type(given).__name__} as the config of a table: it is no DoltConfig. {do}")


class Pinned(NamedTuple):
    """A table or query at one commit: what is read."""

    config: DoltConfig
    commit: Commit


def _params_from(plain: Mapping[str, Any]) -> dict[str, object]:
    try:
        return query_parameters.restored(plain)
    except query_parameters.UnsupportedValue as error:
        raise InvalidConfig(f"Cannot read params: {error}. Pass what to_dict() returned.") from error


# What they are made with may have a password in it, and stands in the frame of their constructor.
for _made in (DoltConfig, DoltMeta, Remote):
    _made.__init__ = discreet(_made.__init__)  # type: ignore[method-assign]

# A dataclass that comes as JSON (from the console of Flyte) flytekit visits by the types in its fields, and it needs
# those of lists. In a dictionary it asks for them, too, but only where it finds a list.
_HINTS = inspect.get_annotations(DoltConfig, eval_str=True)
_LISTS = dict.fromkeys(("io_args", "params"), dict[str, list[str]])
for _field in dataclasses.fields(DoltConfig):
    _field.type = _LISTS.get(_field.name, _HINTS[_field.name])

# Code that asks for the hints of these classes looks for their names in the module that users import from.
for _name in __all__:
    _class = globals()[_name]
    if isinstance(_class, type):
        own = _HINTS if _class is DoltConfig else inspect.get_annotations(_class, eval_str=True)
        _class.__annotations__ = own
        _class.__module__ = PUBLIC_MODULE
