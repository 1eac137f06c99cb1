"""A query at a commit gives the same rows tomorrow, or is refused, or the page says that it moves.

Each of Dolt's system tables, table functions and functions of sessions stands in one of three lists.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import msgpack
import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, SerialBranch, api, errors, write
from flytekitplugins.dolt.api.table import resolve
from flytekitplugins.dolt.query import moving_parts, validation
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server

COMPARED = "select to_id, from_id, diff_type from dolt_commit_diff_t"

PINNED = f"""
select * from dolt_log
select * from dolt_diff
select * from dolt_column_diff
select * from dolt_schemas
select * from dolt_procedures
select * from dolt_docs
select * from dolt_ignore
select * from dolt_query_catalog
select * from dolt_nonlocal_tables
select * from dolt_tests
select * from dolt_status
select * from dolt_status_ignored
select * from dolt_constraint_violations
select * from dolt_constraint_violations_t
select * from dolt_conflicts_t
select * from dolt_diff_t
select * from dolt_diff_t where to_commit = 'WORKING' or to_commit = 'main'
select * from dolt_history_t
select * from dolt_history_t where commit_hash = 'main'
select * from dolt_blame_t
select * from dolt_history_dolt_schemas
select * from dolt_diff_dolt_schemas
select * from dolt_log where commit_hash = hashof('feature')
select * from dolt_log()
select * from dolt_log('--parents', '--min-parents', '0', '-n', '3')
select * from dolt_log('--tables', 't')
select * from dolt_log('main', '--not', 'v1', '--decorate', 'no')
select * from dolt_log('feature')
select * from dolt_diff('v1..', 't')
select * from dolt_diff('v1', 'feature', 't')
select * from dolt_diff('head', 'Head~1', 't')
select * from dolt_diff_stat('v1', 'main')
select * from dolt_diff_summary('v1', 'feature')
select * from dolt_patch('v1..feature')
select * from dolt_schema_diff('v1', 'main')
select * from dolt_query_diff('select * from t', 'select * from t as of ''feature''')
select * from dolt_query_diff('select 1', '{COMPARED} where to_commit = ''main'' and from_commit = ''v1''')
{COMPARED} where to_commit = 'main' and from_commit = 'v1'
{COMPARED} where to_commit = 'HEAD' and from_commit = 'HEAD~1'
{COMPARED} where ((to_commit = 'ma' 'in') and (from_commit = 'v1' and to_id < 100))
{COMPARED} where 'feature' = to_commit and hashof('v1') is not null and from_commit = dolt_hashof('v1')
{COMPARED} d where d.to_commit = 'feature' and 'v1' = d.from_commit
{COMPARED} where to_commit = 'main' and from_commit = 'v1' and to_commit like '%' and from_id > 0
select d.to_id from dolt_commit_diff_t d join t on t.id = d.to_id and d.to_commit = 'main' where d.from_commit = 'v1'
with d as ({COMPARED} where to_commit = 'feature' and from_commit = 'main') select count(*) from d
select * from t as of 'head'
select hashof('feature'), hashof('head'), dolt_hashof_db(), dolt_hashof_db('feature'), dolt_hashof_table('t')
select dolt_merge_base('main', 'feature'), has_ancestor('feature', 'v1'), active_branch()
select now(), curdate(), unix_timestamp(), utc_timestamp(6), localtimestamp, from_unixtime(unix_timestamp())
select rand(1), database() is not null, version(), user(), current_user()
select * from seen
show tables
show table status
show index from t
show create table t
describe dolt_branches
explain select * from t where id = 1
""".strip().splitlines()

REFUSED = {
    **{
        source: source.strip("`")
        for source in (
            "dolt_workspace_t",
            "dolt_stashes",
            "dolt_backups",
            "dolt_branch_activity",
            "dolt_branch_control",
            "dolt_branch_namespace_control",
            "dolt_statistics",
            "dolt_conflicts",
            "dolt_schema_conflicts",
            "dolt_merge_status",
            "dolt_rebase",
            "dolt_of_tomorrow",
            "DOLT_Stashes",
            "`dolt_stashes`",
            "`dolt_wor\u212aspace_t`",
            "`dolt_bac\u212aups`",
            "`dolt_stashe\u017f`",
            "`dolt_stat\u0130stics`",
        )
    },
    **dict.fromkeys(
        (
            "dolt_commit_diff_t",
            "dolt_commit_diff_t where to_commit = 'main'",
            "dolt_commit_diff_t where to_commit = 'main' or from_commit = 'v1'",
            "dolt_commit_diff_t where not (to_commit = 'main' and from_commit = 'v1')",
            "dolt_commit_diff_t where to_commit in ('main') and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit like 'main' and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit <=> 'main' and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit between 'main' and 'main' and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit >= 'main' and to_commit <= 'main' and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit = concat('ma', 'in') and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit = lower('MAIN') and from_commit = 'v1'",
            "dolt_commit_diff_t where (to_commit, from_commit) = ('main', 'v1')",
            "dolt_commit_diff_t where to_commit = 5 and from_commit = 'v1'",
            "dolt_commit_diff_t where to_commit = from_commit and from_commit = 'v1'",
            "dolt_commit_diff_t where concat(hashof('main'), '') = to_commit and from_commit = 'v1'",
            "dolt_commit_diff_t d join (select 'main' x) y on d.to_commit = y.x where from_commit = 'v1'",
            "(select to_commit a, from_commit b, to_id from dolt_commit_diff_t) q where a = 'main' and b = 'v1'",
            "t left join dolt_commit_diff_t on to_commit = 'main' and from_commit = 'v1'",
            "dolt_commit_diff_t d join dolt_commit_diff_t e on e.to_id = d.to_id"
            " where d.to_commit = 'main' and d.from_commit = 'v1'",
        ),
        "dolt_commit_diff_t",
    ),
    "dolt_commit_diff_t where to_commit = 'WORKING' and from_commit = 'v1'": "WORKING",
    "dolt_commit_diff_t where to_commit = 'main' and from_commit = 'STAGED'": "STAGED",
    "dolt_commit_diff_t where to_commit = 'main' and from_commit = hashof(to_id)": "to_id",
    "dolt_log('--all')": "--all",
    "dolt_log('--not=v1')": "--not=v1",
    "dolt_log('-nmain')": "-nmain",
    "dolt_log('main', '--decorate', 'full')": "--decorate",
    "dolt_log('--tables', concat('--', 'all'))": "concat('--', 'all')",
    "dolt_log(hashof('main') or 'feature')": "hashof('main') or 'feature'",
    "dolt_branch_status('main', 'feature')": "DOLT_BRANCH_STATUS",
    "dolt_diff('WORKING', 'main', 't')": "WORKING",
    "(select connection_id() n) q": "CONNECTION_ID",
    "(select `connect\u0130on_id`() n) q": "CONNECTION_ID",
    "(select last_insert_id(), found_rows(), row_count()) q": "LAST_INSERT_ID",
    "(select last_insert_uuid()) q": "LAST_INSERT_UUID",
    "(select sleep(1)) q": "SLEEP",
    "(select @@server_id) q": "@",
    "(select @mine) q": "@",
    "information_schema.processlist": "information_schema",
    "(table dolt_stashes) q": "dolt_stashes",
    "t where id in (select count(*) from dolt_stashes)": "dolt_stashes",
}

OF_THE_DAY = [
    "select name, hash from dolt_branches",
    "select name, hash from dolt_remote_branches",
    "select tag_name, tag_hash from dolt_tags",
    "select name, url from dolt_remotes",
    "select commit_hash from dolt_commits",
    "select commit_hash from dolt_commit_ancestors",
    "select name from dolt_help",
    "select commit_hash from dolt_reflog('main')",
    "select rand() r, uuid() u, uuid_short() s, random_bytes(4) b",
]
"""What may be read although it moves; docs/queries.md says so."""


@pytest.fixture
def history(repo: Path) -> Path:
    """Give a repository with three commits, a branch, a tag, a view and docs."""

    def put(ids: list[int], **policy: object) -> None:
        config = DoltConfig(str(repo), "t", primary_key=["id"], **policy)  # type: ignore[arg-type]
        write(config, pd.DataFrame({"id": ids}))

    for ids in ([1], [1, 2], [1, 2, 3]):
        put(ids)
    put([1, 3], branch_conf=NewBranch("feature"))
    _run(
        repo,
        "CREATE VIEW seen AS SELECT id FROM t",
        "CREATE PROCEDURE p() SELECT 1",
        "INSERT INTO dolt_docs VALUES ('README.md', 'x')",
        "INSERT INTO dolt_ignore VALUES ('ignored%', true)",
        "CALL DOLT_COMMIT('-Am', 'a view', '--author', 'A <a@x.org>')",
        "CALL DOLT_TAG('v1', 'HEAD~2')",
    )
    return repo


def _run(repo: Path, *statements: str) -> None:
    with connect(repo) as connection:
        for statement in statements:
            connection.execute(statement)


def _move_everything(repo: Path) -> None:
    """Have a day go by: branches, tags, stashes, remotes, statistics, uncommitted and ignored work, another session."""
    _run(
        repo,
        "INSERT INTO t VALUES (77)",
        "CALL DOLT_STASH('push', 'mine')",
        "INSERT INTO t VALUES (78)",
        "CALL DOLT_BRANCH('other')",
        "CALL DOLT_TAG('-d', 'v1')",
        "CALL DOLT_TAG('v1', 'main')",
        "CALL DOLT_TAG('v2', 'main')",
        f"CALL DOLT_REMOTE('add', 'origin', 'file://{repo.with_name('remote')}')",  # Dolt makes that folder
        "INSERT INTO dolt_docs VALUES ('LICENSE.md', 'y')",
        "INSERT INTO dolt_ignore VALUES ('more%', true)",
        "INSERT INTO dolt_query_catalog VALUES ('a', 1, 'a', 'select 1', 'd')",
        "CREATE VIEW unseen AS SELECT 2",
        "CREATE PROCEDURE p2() SELECT 2",
        "CREATE TABLE ignored_x (i INT)",
        "ANALYZE TABLE t",
        "CALL DOLT_COMMIT('-Am', 'moved', '--author', 'A <a@x.org>')",
        "INSERT INTO t VALUES (79)",
        "CALL DOLT_ADD('t')",
        "INSERT INTO t VALUES (80)",
    )
    config = DoltConfig(str(repo), "t", primary_key=["id"], branch_conf=SerialBranch("feature"))
    write(config, pd.DataFrame({"id": [7, 8, 9]}))
    local_server.release(repo)  # and another server, whose sessions have other numbers


def test_pinned_queries_give_the_same_rows_tomorrow(history: Path) -> None:
    """Whatever moves meanwhile, the literal of a query gives the rows that it gave; without pins some would not."""
    kept, resolved = [], {}
    for sql in [*PINNED, *OF_THE_DAY]:
        table = api.pin(DoltConfig(str(history), sql=sql))
        assert resolve(DoltTable.from_dict(table.to_dict())).to_dict() == table.to_dict()
        resolved[sql] = table.config.sql
        kept.append((sql, msgpack.packb(table.to_dict()), table.data))
    _move_everything(history)
    moved = []
    for sql, literal, frame in kept:
        with contextlib.suppress(errors.QueryFailed):  # the list of what is said to move may be beyond Dolt by then
            again = DoltTable.from_dict(msgpack.unpackb(literal)).data
            assert again is not None
            assert frame is not None
            if not again.equals(frame):
                moved.append(sql)
            continue
        moved.append(sql)
    assert set(moved) <= set(OF_THE_DAY)
    assert len(moved) > 4  # otherwise nothing has moved, and this test could not fail
    anew = [api.read(DoltConfig(str(history), sql=sql)).equals(frame) for sql, _, frame in kept if sql in PINNED]
    assert anew.count(False) > 20


def test_the_rows_of_pinned_differences_are_the_right_ones(history: Path) -> None:
    """Revisions of dolt_commit_diff tables mean what they mean elsewhere: HEAD is the commit that is read."""

    def rows(where: str, branch: str | None = None, **params: object) -> list[tuple[object, ...]]:
        policy = SerialBranch(branch) if branch else None
        config = DoltConfig(str(history), sql=f"{COMPARED} where {where}", branch_conf=policy, params=params or None)
        return sorted(api.read(config).itertuples(index=False, name=None), key=str)

    assert [found[0] for found in rows("to_commit = 'main' and from_commit = 'v1'")] == [3]
    assert [found[0] for found in rows("to_commit = :to and from_commit = :of", to="main", of="v1")] == [3]
    assert [found[1] for found in rows("to_commit = 'HEAD' and from_commit = 'main'", branch="feature")] == [2]
    with pytest.raises(errors.QueryFailed, match="requires one 'to_commit'"):  # two that contradict each other
        rows("to_commit = 'v1' and from_commit = 'v1' and to_commit in ('main')")
    with pytest.raises(errors.RevisionNotFound, match="branch not found: working"):
        rows("to_commit = 'working' and from_commit = 'v1'")
    with pytest.raises(errors.QueryRefused, match="dolt_commit_diff_t.*to_commit.*from_commit"):
        rows("to_commit = :to and from_commit = 'v1'", to=5)


@pytest.mark.parametrize("source", REFUSED)
def test_what_could_not_be_pinned_is_refused(source: str) -> None:
    """Each with the piece in question, before anything is sent."""
    with pytest.raises(errors.QueryRefused, match=re.escape(source)) as caught:
        validation.parse(f"select * from {source}", database="foo")
    assert caught.value.piece == REFUSED[source]


def test_every_table_of_dolt_is_in_one_list(history: Path) -> None:
    """What Dolt itself lists as its tables is known to be pinned, said to move, or refused by this test's tables."""
    with connect(history) as connection:
        connection.execute("SET @@dolt_show_system_tables = 1")
        shown = {name for (name,) in connection.query("SHOW TABLES")} - {"t", "seen"}
        connection.execute("SET @@dolt_show_system_tables = 0")
    assert len(shown) > 30
    kinds = "diff|commit_diff|history|conflicts|constraint_violations|workspace|blame"
    there = {re.sub(rf"^(dolt_(?:{kinds})_).+", r"\1t", name) for name in shown}
    read = {name for sql in [*PINNED, *OF_THE_DAY] for name in re.findall(r"dolt_\w+", sql)}
    assert there <= read | {source.split()[0] for source in REFUSED}
    for name in there:
        ruled = not moving_parts.is_known(name) or moving_parts.needs_commits(name)
        assert ruled == (name in {source.split()[0] for source in REFUSED}), name


def test_the_page_lists_what_moves() -> None:
    """Each table that is allowed although it moves stands on the page of queries."""
    page = Path(__file__).parents[2].joinpath("docs", "queries.md").read_text()
    for name in moving_parts._OF_THE_DAY:
        assert f"`{name}`" in page
