"""What a commit was made of and what was made of it: the trailers of commits followed through repositories.

No service and no table of its own: each repository's graph of commits is read with two statements, and what the
trailers leave open (who last wrote a table that somebody read) is asked by comparing hashes, so rows are never looked
at. What cannot be followed is an answer, too (`Gap`). For people, programs and the command line.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...doltdb.redaction import visible
from ..drawing import collapsing, dot, figure, mermaid, svg
from ..errors import InvalidConfig, RevisionNotFound, attempting
from ..model import notebooks, provenance, timepoints
from ..model.configs import Commit, DoltConfig, TableRef
from ..model.location import Location, is_url, refuses_passwords
from ..model.naming import is_hash, lowered
from ..model.provenance import Execution, Provenance, ReadRecord
from ..repository import refs, remotes
from ..repository.connections import Connection, connect
from ..repository.remotes import Where
from . import lineage_graphs, table_log

__all__ = ["Gap", "Lineage", "Link", "Step", "commits_of", "execution_of", "lineage"]

Direction = Literal["up", "down", "both"]
Why = Literal["repository", "commit", "tables"]

MAX_STEPS = 10_000
"""The most commits that one lineage goes through, unless the caller says otherwise."""

MAX_PICTURE = 300_000
"""The most bytes of a picture."""


_NOT_FOLLOWED = "name it with repositories=[...], or --repository on the command line"

_ELSEWHERE = {
    "repository": "not followed, since only a commit names that repository",
    "commit": "no repository at hand holds that commit",
    "tables": "which commit wrote it is not known",
}


@dataclass(frozen=True)
class Step:
    """One commit of a lineage."""

    commit: Commit
    repository: str
    """Folder or address of the repository that holds it."""
    origin: Provenance
    """What the commit says of itself: execution, tables written, tables read."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that it says it wrote; empty for a commit that was not made by this package."""
        return tuple(write.table for write in self.origin.writes)

    def __str__(self) -> str:
        who = str(self.origin.execution) if self.origin.execution is not None else _first_line(self.commit.message)
        what = ", ".join(self.tables) or "commit"
        when = f"  {self.commit.date:%Y-%m-%d %H:%M}" if self.commit.date else ""
        return visible(f"{self.commit} {what}{when}  {who}", lines=False)


@dataclass(frozen=True)
class Link:
    """One commit was made of another."""

    made: str
    """Hash of the commit that was made."""
    of: str
    """Hash of the commit that wrote what was read."""
    read: ReadRecord
    """What was read, and at which commit; for ``append`` and ``upsert``, the table as it was before."""


@dataclass(frozen=True)
class Gap:
    """A read that could not be followed further."""

    made: str
    """Hash of the commit that was made."""
    read: ReadRecord
    why: Why
    """``repository``: only a commit names it, so it was not opened. ``commit``: no repository at hand holds it (any
    more). ``tables``: it is not known which commit wrote what was read."""
    says: str = ""
    """What to do about it, where there is something."""

    def __str__(self) -> str:
        text = f"{self.read.name} at {self.read.commit[:8]} of {self.read.repository}: {_ELSEWHERE[self.why]}"
        return visible(f"{text} ({self.says})" if self.says else text, lines=False)


@dataclass(frozen=True)
class Lineage:
    """The commits that one commit was made of, and those that were made of it."""

    start: Step
    steps: tuple[Step, ...]
    """Every commit that was gone through, the start first, each once."""
    above: tuple[Link, ...]
    """The links from a commit to what it was made of, from the start on."""
    below: tuple[Link, ...]
    """The links from a commit to what was made of it, from the start on."""
    gaps: tuple[Gap, ...] = ()
    is_whole: bool = True
    """False when it was cut off at the limit of steps."""

    @property
    def sources(self) -> tuple[Step, ...]:
        """The commits that the start was made of, nearest first."""
        return self._reached(link.of for link in self.above)

    @property
    def results(self) -> tuple[Step, ...]:
        """The commits that were made of the start, nearest first."""
        return self._reached(link.made for link in self.below)

    def _reached(self, hashes: Iterable[str]) -> tuple[Step, ...]:
        known = {step.commit.hash: step for step in self.steps}
        return tuple(known[found] for found in dict.fromkeys(hashes) if found in known)

    def to_dict(self) -> dict[str, Any]:
        """Return the lineage as plain values, ready for JSON."""
        return {
            "start": self.start.commit.hash,
            "steps": [_step_dict(step) for step in self.steps],
            "above": [_link_dict(link) for link in self.above],
            "below": [_link_dict(link) for link in self.below],
            "gaps": [
                {"made": gap.made, "read": _read_dict(gap.read), "why": gap.why, "says": gap.says} for gap in self.gaps
            ],
            "is_whole": self.is_whole,
        }

    def __str__(self) -> str:
        lines = [f"{self.start}  in {visible(self.start.repository, lines=False)}"]
        gaps: dict[str, list[str]] = defaultdict(list)
        for gap in self.gaps:
            gaps[gap.made].append(f"? {gap}")
        lines += self._tree("was made of", {(k.made, k.of): k for k in self.above}.values(), up=True, gaps=gaps)
        lines += self._tree("was used for", {(k.made, k.of): k for k in self.below}.values(), up=False, gaps={})
        if not self.is_whole:
            lines.append("(cut off: there is more)")
        return "\n".join(lines)

    def __repr__(self) -> str:
        made = f"made of {len(self.sources):,} commits, used for {len(self.results):,}, gaps {len(self.gaps):,}"
        return f"<{type(self).__name__} of {self.start.commit}: {made}>"

    def to_svg(self) -> str:
        """Return the lineage as a picture: an SVG file's text, below 300,000 bytes.

        Tables at commits and the executions between them, from left to right; no script, link or font is in it, and
        its colours follow what the reader prefers. Of more than 24 boxes the versions of one table become one box, and
        so do the executions of one task with the same tables; the picture says so. The same lineage is the same text.
        """
        return collapsing.fitted(lineage_graphs.graph(self), svg.document, MAX_PICTURE)

    def to_mermaid(self) -> str:
        """Return the same graph as a flowchart for Mermaid, in less than the 50,000 characters that it takes."""
        return collapsing.fitted(lineage_graphs.graph(self), mermaid.text, mermaid.MAX_BYTES - 1)

    def to_dot(self) -> str:
        """Return the same graph for Graphviz: ``dot -Tpdf``."""
        return collapsing.fitted(lineage_graphs.graph(self), dot.text, MAX_PICTURE)

    def to_html(self, most: int = MAX_PICTURE) -> str:
        """Return the picture as a part of a page, with its edges as a table, of at most ``most`` bytes."""
        return figure.figure(lineage_graphs.graph(self), most)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the picture, and the tree up to a number of lines."""
        return f"{self.to_html()}{notebooks.lines(str(self).split(chr(10)))}"

    def _tree(self, title: str, links: Iterable[Link], *, up: bool, gaps: Mapping[str, Sequence[str]]) -> Iterator[str]:
        known = {step.commit.hash: step for step in self.steps}
        following: dict[str, list[Link]] = defaultdict(list)
        for link in links:
            following[link.made if up else link.of].append(link)
        if not following and not gaps:
            return
        yield title
        shown: set[str] = set()
        stack: list[tuple[str, str, str]] = [("", "", self.start.commit.hash)]
        while stack:
            prefix, text, current = stack.pop()
            again = current in shown and (following[current] or gaps.get(current))
            if text:
                yield text + ("  (see above)" if again else "")
            if current in shown:
                continue
            shown.add(current)
            children = [(str(gap), "") for gap in gaps.get(current, ())]
            children += [self._child(link, known, up=up) for link in following[current]]
            stack += reversed(list(_drawn(prefix, children)))

    def _child(self, link: Link, known: Mapping[str, Step], *, up: bool) -> tuple[str, str]:
        """Return the line about the commit that a link leads to, and its hash."""
        other = link.of if up else link.made
        return self._line(link, known.get(other), other, up=up), other

    def _line(self, link: Link, step: Step | None, other: str, *, up: bool) -> str:
        line = str(step) if step is not None else other[:8]
        if step is not None and step.repository != self.start.repository:
            line += f"  in {visible(step.repository, lines=False)}"
        read = visible(link.read.name, lines=False)
        if up:
            return f"{read}: {line}" if link.read.commit == link.of else f"{read} at {link.read.commit[:8]}: {line}"
        return f"{read} → {line}"


def _drawn(prefix: str, children: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Give for each child the prefix of what stands below it, its line, and its commit."""
    for number, (line, child) in enumerate(children, start=1):
        last = number == len(children)
        yield prefix + ("   " if last else "│  "), f"{prefix}{'└─ ' if last else '├─ '}{line}", child


@refuses_passwords
def lineage(
    commit: TableRef | Commit | str,
    *,
    db_path: Where | None = None,
    direction: Direction = "both",
    repositories: Sequence[Where] = (),
    limit: int = MAX_STEPS,
) -> Lineage:
    """Return what ``commit`` was made of and what was made of it, as far as the trailers of commits say.

    Of a table at a commit it starts at the commit that wrote the table, as `execution_of` does: later commits that
    changed other tables only, and merges that took it as it was, are passed by. Of a query, a `Commit` or the name of
    one it starts at that very commit; a merge was made of all that it brought.

    It goes across branches, and looks in this repository and in ``repositories``, and in no others: what a commit's
    message names is up to its author. A read from elsewhere is a `Gap`.

    Args:
        commit: a table that has a commit, a commit, or the name of one (a hash, branch or tag).
        db_path: the repository that holds the commit; a `DoltTable` brings its own.
        direction: ``up`` (what it was made of), ``down`` (what was made of it), or both.
        repositories: the other repositories to look in: folders, URLs of servers, or configs of tables there.
        limit: the most commits that are gone through in each direction.

    Raises:
        InvalidConfig: ``db_path`` is missing.
        RevisionNotFound: the repository does not hold the commit.
        DoltError: a repository that was given cannot be opened.
    """
    with attempting("follow the lineage"):
        if direction not in ("up", "down", "both"):
            raise InvalidConfig(f"Cannot follow the lineage {direction!r}: it goes 'up', 'down' or 'both'.")
        revision, where = _named(commit, db_path)
        graphs = _Graphs([where, *repositories])
        home = graphs.known[0]
        found = home.writer_of(commit, home.find(revision))
        walk = _Walk(graphs, home, found, limit, None if isinstance(commit, TableRef) else found.hash)
        above = walk.up() if direction != "down" else []
        below = walk.down() if direction != "up" else []
        return Lineage(
            walk.step(found.hash),
            tuple(walk.steps.values()),
            tuple(above),
            tuple(below),
            tuple(walk.gaps),
            walk.is_whole,
        )


@refuses_passwords
def commits_of(execution_id: str, db_path: Where) -> tuple[Step, ...]:
    """Return the commits that an execution made, on whichever branch, oldest first.

    ``execution_id`` is the whole id (``ex:project:domain:name``) or the execution's name alone.
    """
    with attempting(f"find the commits of execution {execution_id!r}"):
        graph = _Graph(*_opened(db_path))
        wanted = {execution_id, execution_id.removeprefix("ex:")}
        steps = []
        for commit in reversed(graph.commits.values()):
            running = graph.origin(commit.hash).execution
            if running is not None and wanted & {running.id, running.id.removeprefix("ex:"), running.id.split(":")[-1]}:
                steps.append(graph.step(commit.hash))
        return tuple(steps)


@refuses_passwords
def execution_of(commit: TableRef | Commit | str, db_path: Where | None = None) -> Execution | None:
    """Return the execution that made a commit, or that last changed a table; None where that was not one of Flyte.

    Of a table at a commit it is the one that made the table what it is there: later commits that changed other tables
    only, and merges that took it as it was, say nothing about it. Of a query, a `Commit` or the name of one it is the
    execution that made that very commit.

    Raises:
        InvalidConfig: ``db_path`` is missing.
        RevisionNotFound: the repository does not hold the commit.
        TableNotFound: the table never was there.
        ShallowClone: the clone does not reach back to who changed the table.
    """
    revision, where = _named(commit, db_path)
    place = _opened(where)[0]
    found = refs.log(place, revision, limit=1)[0]
    table = commit.config.tablename if isinstance(commit, TableRef) and commit.config.sql is None else None
    if table is not None:
        with attempting(f"find who changed table {table!r}"), connect(place) as connection:
            made = table_log.last_change(connection, table, found)
            if made is None:
                raise table_log.never_there(connection, table, found)
            found = made
    return provenance.parse(found.message).execution


def _named(commit: TableRef | Commit | str, where: Where | None) -> tuple[str, Where]:
    if isinstance(commit, TableRef):
        if commit.commit is None:
            raise InvalidConfig(f"Cannot follow {commit!r}: it has no commit yet. Write it or `pin` its config first.")
        where = commit.config if where is None else where
        commit = commit.commit
    if where is None:
        raise InvalidConfig(f"Cannot follow {commit!r}: it takes db_path=, the repository that holds it.")
    return commit.hash if isinstance(commit, Commit) else commit, where


def _opened(where: Where) -> tuple[Location, str]:
    """Return where a repository is looked at, and by what name commits speak of it."""
    place = remotes.location_to_read(where)
    if isinstance(where, DoltConfig):
        return place, provenance.address_of(where)
    return place, provenance.redacted_address(str(where)) if is_url(where) else str(place)


# ----------------------------------------------------------------------------------------------------------- the graphs


class _Graph:
    """The commits of one repository, and which of them wrote a table."""

    def __init__(self, place: Location, name: str) -> None:
        self.place, self.name = place, name
        self.commits: dict[str, Commit] = {}
        self._origins: dict[str, Provenance] = {}
        self._makers: dict[tuple[str, str], str | None] = {}
        self._changed: dict[tuple[str, str], Mapping[str, str]] = {}
        with connect(self.place) as connection:
            heads = "SELECT hash FROM dolt_branches UNION SELECT tag_hash FROM dolt_tags"
            found = sorted({str(hash_) for (hash_,) in connection.query(heads)})
            self._add(refs.walk(connection, *found))

    def _add(self, commits: Iterable[Commit]) -> None:
        for commit in commits:
            self.commits.setdefault(commit.hash, commit)

    def origin(self, commit: str) -> Provenance:
        """Return what a commit says of itself."""
        if commit not in self._origins:
            self._origins[commit] = provenance.parse(self.commits[commit].message)
        return self._origins[commit]

    def step(self, commit: str) -> Step:
        return Step(self.commits[commit], self.name, self.origin(commit))

    def find(self, name: str) -> Commit:
        """Return the whole commit of that name.

        Raises:
            RevisionNotFound: the repository does not hold it.
        """
        if is_hash(name):
            found = name
        else:
            with attempting(f"find commit {name!r}"), connect(self.place) as connection:
                found = str(connection.query("SELECT DOLT_HASHOF(%s)", name)[0][0])
        if not self.holds(found):
            raise RevisionNotFound(
                f"Cannot find commit {name!r}: the repository {self.name!r} does not hold it. It may be another "
                "clone, or the commit was on a branch that is deleted and collected.",
                revision=name,
            )
        return self.commits[found]

    def writer_of(self, asked: TableRef | Commit | str, found: Commit) -> Commit:
        """Return the commit that last wrote the table that is asked about at ``found``, else ``found`` itself."""
        if not isinstance(asked, TableRef) or asked.config.sql is not None or asked.config.tablename is None:
            return found
        made = self.maker(asked.config.tablename, found.hash)
        return found if made is None else self.commits[made]

    def holds(self, commit: str) -> bool:
        """Whether the repository has that commit, be it on no branch any more."""
        # In a shallow clone Dolt 1.83 breaks the connection when it is asked for what was left out.
        if commit not in self.commits and not self._is_shallow():
            try:
                with connect(self.place) as connection:
                    self._add(refs.walk(connection, commit))
            except RevisionNotFound:
                return False
        return commit in self.commits

    def _is_shallow(self) -> bool:
        return any(parent not in self.commits for commit in self.commits.values() for parent in commit.parents)

    def maker(self, table: str, commit: str) -> str | None:
        """Return the commit that last wrote ``table`` in the history of ``commit``, or None when it is not known."""
        table = lowered(table)
        path: list[str] = []
        current: str | None = commit
        while current is not None and (table, current) not in self._makers:
            path.append(current)
            origin_of = self._inherits(table, current) if current in self.commits else None
            if origin_of == current:
                self._makers[table, current] = current
            else:
                current = origin_of
        found = self._makers[table, current] if current is not None else None
        self._makers.update(dict.fromkeys(((table, passed) for passed in path), found))
        return found

    def _inherits(self, table: str, commit: str) -> str | None:
        """Return from which parent a commit has ``table`` unchanged, itself if it wrote it, None if nobody is known."""
        parents, writes = self.commits[commit].parents, self.origin(commit).writes
        if len(parents) == 1 and writes:
            return commit if any(lowered(write.table) == table for write in writes) else parents[0]
        for parent in parents:
            if parent not in self.commits:
                return None  # a shallow clone ends here
            if table not in self.changed(parent, commit):
                return parent
        return commit if parents else None

    def changed(self, parent: str, commit: str) -> Mapping[str, str]:
        """Return the stored names of the tables that differ, by their lowered ones; found by hashes, at any size."""
        if (parent, commit) not in self._changed:
            with connect(self.place) as connection:
                self._load_changes(connection, parent, commit)
        return self._changed[parent, commit]

    def _load_changes(self, connection: Connection, parent: str, commit: str) -> None:
        if len(self.commits[commit].parents) > 1:
            rows = connection.query(
                "SELECT from_table_name, to_table_name FROM DOLT_DIFF_SUMMARY(%s, %s)", parent, commit
            )
            self._changed[parent, commit] = _by_lowered(name for row in rows for name in row if name)
            return
        # One statement for this commit and all before it, instead of one for each of them.
        changed: dict[str, list[str]] = defaultdict(list)
        with connection.at(commit):
            for found, table in connection.query("SELECT commit_hash, table_name FROM dolt_diff"):
                changed[found].append(table)
        queue = [commit]
        while queue:
            current = self.commits.get(queue.pop())
            for before in current.parents if current is not None else ():
                if current is not None and (before, current.hash) not in self._changed:
                    if len(current.parents) == 1:
                        self._changed[before, current.hash] = _by_lowered(changed[current.hash])
                    queue.append(before)


class _Graphs:
    """The repositories that were given; one that only a commit names is not opened."""

    def __init__(self, given: Sequence[Where]) -> None:
        self.known: list[_Graph] = []
        for where in given:
            place, name = _opened(where)
            if not any(graph.place == place for graph in self.known):
                self.known.append(_Graph(place, name))

    def holding(self, read: ReadRecord, own: _Graph) -> _Graph | tuple[Why, str]:
        """Return the graph that holds the commit of a read, or why there is none.

        A hash means the same commit everywhere, so any repository that has it will do: a clone, a moved folder.
        """
        for graph in [own, *(graph for graph in self.known if graph is not own)]:
            if read.commit in graph.commits:
                return graph
        if read.repository == provenance.HERE:
            named: _Graph | None = own
        else:
            named = next((graph for graph in self.known if graph.name == read.repository), None)
        if named is None:
            return "repository", _NOT_FOLLOWED
        return named if named.holds(read.commit) else ("commit", "")


# ------------------------------------------------------------------------------------------------------------- the walk


class _Walk:
    """One walk from one commit; what it meets is gathered in `steps` and `gaps`."""

    def __init__(self, graphs: _Graphs, home: _Graph, start: Commit, limit: int, asked: str | None) -> None:
        self.steps: dict[str, Step] = {}
        self.gaps: list[Gap] = []
        self.is_whole = True
        self._graphs = graphs
        self._homes = {start.hash: home}
        self._start = start.hash
        self._asked = asked  # the commit that was asked about as a whole, not for a table in it
        self._limit = limit
        self.step(start.hash)

    def step(self, commit: str) -> Step:
        return self.steps.setdefault(commit, self._homes[commit].step(commit))

    def up(self) -> list[Link]:
        return self._follow(self._made_of)

    def down(self) -> list[Link]:
        users: dict[str, list[tuple[Link, _Graph]]] = defaultdict(list)
        for graph in self._graphs.known:
            for commit in graph.commits:
                for link, _ in self._links(graph, commit, only_known=True):
                    users[link.of].append((link, graph))
        return self._follow(lambda commit: users[commit], down=True)

    def _follow(self, neighbours: Any, *, down: bool = False) -> list[Link]:
        queue, seen, links = deque([self._start]), {self._start}, []
        while queue:
            for link, graph in neighbours(queue.popleft()):
                other = link.made if down else link.of
                if other not in seen:
                    if len(seen) >= self._limit:
                        self.is_whole = False
                        continue
                    seen.add(other)
                    self._homes.setdefault(other, graph)
                    self.step(other)
                    queue.append(other)
                links.append(link)
        return list(dict.fromkeys(links))

    def _made_of(self, commit: str) -> Iterator[tuple[Link, _Graph]]:
        yield from self._links(self._homes[commit], commit)

    def _links(self, graph: _Graph, commit: str, *, only_known: bool = False) -> Iterator[tuple[Link, _Graph]]:
        """Give what a commit was made of; what cannot be followed becomes a gap, unless only the known is asked for."""
        merged = () if only_known else _merged(graph, commit, is_start=commit == self._asked)
        for read in (*_reads(graph, commit), *merged):
            if only_known and not any(read.commit in known.commits for known in self._graphs.known):
                continue
            holder = self._graphs.holding(read, graph)
            gap = holder if isinstance(holder, tuple) else None
            if isinstance(holder, _Graph):
                maker = holder.maker(read.table, read.commit) if read.table is not None else None
                if maker is not None and maker != commit:
                    yield Link(commit, maker, read), holder
                elif maker is None:
                    gap = ("tables", "")
            if gap is not None and not only_known:
                self.gaps.append(Gap(commit, read, *gap))


def _reads(graph: _Graph, commit: str) -> Iterator[ReadRecord]:
    """Give what a commit read, and the table as it was where rows were only added or put."""
    origin, parents = graph.origin(commit), graph.commits[commit].parents
    yield from origin.reads
    for write in origin.writes:
        if write.mode != "replace" and parents and graph.maker(write.table, parents[0]) is not None:
            yield ReadRecord(parents[0], provenance.HERE, table=write.table)


def _merged(graph: _Graph, commit: str, *, is_start: bool) -> Iterator[ReadRecord]:
    """Give the tables that a merge put together of both sides; where the walk starts at it, also those that it took."""
    parents = graph.commits[commit].parents
    if len(parents) < 2 or not all(parent in graph.commits for parent in parents):
        return
    for lower, table in sorted(graph.changed(parents[0], commit).items()):
        same = [parent for parent in parents if lower not in graph.changed(parent, commit)]
        for parent in parents if not same else same[:is_start]:
            if graph.maker(table, parent) is not None:
                yield ReadRecord(parent, provenance.HERE, table=table)


def _by_lowered(names: Iterable[str]) -> dict[str, str]:
    return {lowered(name): name for name in names}


def _first_line(message: str | None) -> str:
    return (message or "").partition("\n")[0]


def _step_dict(step: Step) -> dict[str, Any]:
    running = step.origin.execution
    return {
        "commit": step.commit.hash,
        "repository": step.repository,
        "date": timepoints.utc_text(step.commit.date),
        "author": step.commit.author,
        "message": _first_line(step.commit.message),
        "tables": list(step.tables),
        "execution": {k: v for k, v in vars(running).items() if v is not None} if running is not None else None,
        "reads": [_read_dict(read) for read in step.origin.reads],
    }


def _read_dict(read: ReadRecord) -> dict[str, Any]:
    return {k: v for k, v in vars(read).items() if v is not None}


def _link_dict(link: Link) -> dict[str, Any]:
    return {"made": link.made, "of": link.of, "read": _read_dict(link.read)}
