"""Tags: names for commits, forever. Made, listed and removed; a write gives one to its commit."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidConfig, RevisionNotFound, TagExists, attempting, close_names
from ..model.configs import Commit, DoltConfig, TableRef
from ..model.location import refuses_passwords
from ..model.naming import check_tag_name
from ..repository import hosts, remotes
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from . import revisions
from .revisions import Revision

__all__ = ["Tag", "delete_tag", "tag", "tags"]


@dataclass(frozen=True)
class Tag:
    """A name for one commit, forever."""

    name: str
    commit: Commit
    message: str = ""


@refuses_passwords
def tag(
    name: str,
    table: TableRef | DoltConfig | None = None,
    *,
    db_path: Where | None = None,
    at: Revision = "HEAD",
    message: str = "",
) -> Tag:
    """Give a commit a name. The same name for the same commit again changes nothing.

    Args:
        name: letters, digits and - _ . / as in branch names, for example ``release/2024-05``.
        table: a table at a commit, or a config: the commit that it reads now.
        db_path: folder or server of the repository, or a config of a table there, where no table is given.
        at: the commit, where no table is given.
        message: why; kept with the tag.

    Raises:
        InvalidName: Dolt cannot hold that name.
        TagExists: another commit has that name.
    """
    config = table.config if isinstance(table, TableRef) else table
    check_tag_name(name)
    if (config is None) == (db_path is None):
        raise InvalidConfig(f"Cannot make tag {name!r}: give either a table (or config), or db_path=.")
    place = remotes.named_location(config if config is not None else db_path)  # type: ignore[arg-type]
    with connect(place) as connection:
        if isinstance(table, TableRef) and table.commit is not None:
            commit = table.commit
        else:
            commit = revisions.resolve(connection, at) if config is None else revisions.of_config(connection, config)
        return set_tag(connection, name, commit, author=hosts.author_of(place), message=message)


def tag_commit(name: str, config: DoltConfig, commit: Commit) -> Tag:
    """Give a commit of the repository that ``config`` means a name; see `tag`."""
    check_tag_name(name)
    place = remotes.locate(config)
    with connect(place) as connection:
        return set_tag(connection, name, commit, author=hosts.author_of(place))


def set_tag(connection: Connection, name: str, commit: Commit, *, author: str, message: str = "") -> Tag:
    """Make the tag on a connection; see `tag`."""
    with attempting(f"make tag {name!r}"):
        found = tagged(connection, name)
        if found is None:
            statement = "CALL DOLT_TAG('--author', %s, '-m', %s, %s, %s)"
            try:
                connection.execute(statement, author, message, name, commit.hash)
                return Tag(name, Commit(commit.hash), message)
            except TagExists:
                found = tagged(connection, name)  # somebody made it in this moment
        if found is None or found.hash != commit.hash:
            raise _tag_exists(name, found, f"commit {commit.hash}")
        return Tag(name, found, message)


def tagged(connection: Connection, name: str) -> Commit | None:
    """Return the commit that a tag names, or None."""
    query = "SELECT tag_name, tag_hash FROM dolt_tags WHERE tag_name = %s"
    rows = connection.query(query, name)
    return next((Commit(str(hash_)) for found, hash_ in rows if found == name), None)


def _tag_exists(name: str, found: Commit | None, wanted: str) -> TagExists:
    return TagExists(
        f"Cannot give {wanted} the tag {name!r}: it names commit {found.hash if found else '(unknown)'} already, and a "
        "tag is forever. Take another name, or delete that tag first.",
        name=name,
        commit=found.hash if found else None,
    )


def refuse_taken_tag(connection: Connection, name: str, *, changed: bool | None = None) -> None:
    """Raise if the commit that is about to be made from what is on this branch cannot have the tag ``name``.

    ``changed`` is whether there is going to be a new one; None asks the branch.

    Raises:
        TagExists: another commit has it.
    """
    found = tagged(connection, name)
    if found is None:
        return
    if changed is None:
        changed = bool(connection.query("SELECT 1 FROM dolt_status LIMIT 1"))
    head = str(connection.query("SELECT DOLT_HASHOF('HEAD')")[0][0])
    if changed or found.hash != head:
        raise _tag_exists(name, found, "the new commit" if changed else f"commit {head}")


@refuses_passwords
def tags(db_path: Where) -> list[Tag]:
    """Return the tags of a repository, by name; a config of a table there brings the secret of a server."""
    with attempting("list the tags"):
        with connect(remotes.named_location(db_path)) as connection:
            rows = connection.query("SELECT tag_name, tag_hash, message FROM dolt_tags")
        return [Tag(str(name), Commit(str(hash_)), str(message)) for name, hash_, message in sorted(rows)]


@refuses_passwords
def delete_tag(name: str, *, db_path: Where) -> Tag:
    """Remove a tag and return what it was; its commit stays.

    Raises:
        RevisionNotFound: there is no such tag.
    """
    with attempting(f"delete tag {name!r}"):
        found = next((known for known in tags(db_path) if known.name == name), None)
        if found is None:
            raise RevisionNotFound(
                f"Cannot delete tag {name!r}: there is none.{close_names(name, [t.name for t in tags(db_path)])}",
                revision=name,
            )
        with connect(remotes.named_location(db_path)) as connection:
            connection.execute("CALL DOLT_TAG('-d', %s)", name)
        return found
