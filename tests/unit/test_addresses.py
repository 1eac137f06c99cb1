"""Addresses of tables, `dolt://...`: each config has one and comes back; what is none is refused."""

# The tests define tasks with annotations of their own, so annotations must not be postponed here.

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, dolt_uri, errors, from_uri


@pytest.mark.parametrize(
    ("table", "uri"),
    [
        (DoltConfig("/data/foo", "users"), "dolt:///data/foo?table=users"),
        (DoltConfig("foo", sql="select 'a&b=c%' # ?"), "dolt://foo?sql=select%20%27a%26b%3Dc%25%27%20%23%20%3F"),
        (DoltConfig("a b?#%é&=", "t"), "dolt://a%20b%3F%23%25%C3%A9%26%3D?table=t"),
        (
            DoltConfig("foo", "t", branch_conf=NewBranch("x&y", base="a=b")),
            "dolt://foo?table=t&new_branch=x%26y&base=a%3Db",
        ),
        (
            DoltConfig("foo", "t", columns=["a", "1"], order_by=['"x"'], keep_order=True),
            "dolt://foo?table=t&columns=a&columns=%221%22&keep_order=true&order_by=%22%5C%22x%5C%22%22",
        ),
        (DoltConfig("mysql+pymysql://u@h:3306/db", "t"), "dolt://mysql+pymysql://u@h:3306/db?table=t"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_config_has_one_address_and_comes_back(table: DoltConfig, uri: str) -> None:
    """Paths, names and statements with any sign in them survive."""
    assert dolt_uri(table) == uri
    assert from_uri(uri).config == table
    assert dolt_uri(from_uri(uri)) == uri


def test_an_address_by_hand_needs_little_encoding() -> None:
    """Spaces, quotes, #, + and a second ? are themselves."""
    sql = "select * from t where a = '+?#' # why"
    assert from_uri(f"dolt://a b#+/c?sql={sql}").config == DoltConfig("a b#+/c", sql=sql)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://foo?table=t", "'dolt://'"),
        ("dolt://?table=t", "repository"),
        ("dolt://foo", "tablename.*sql"),
        ("dolt://foo?table=t&sql=s", "both"),
        ("dolt://foo?table=t&table=u", "'table' 2 times"),
        ("dolt://foo?table=t&nonsense=1", "'nonsense'"),
        ("dolt://foo?table", "'table'.*'='"),
        ("dolt://foo?table=%zz", "'%'"),
        ("dolt://foo?table=%ff", "'%ff'.*UTF-8"),
        ("dolt://foo?table=t&commit=main", "'main'"),
        (f"dolt://foo?table=t&commit={'a' * 32}%0A", r"'a{32}\\n'"),
        (f"dolt://foo?table=t&commit={'a' * 32}&new_branch=b", "commit"),
        ("dolt://foo?table=t&branch=a&new_branch=b", "new_branch"),
        ("dolt://foo?table=t&base=b", "base"),
        ("dolt://foo?table=t&branch=a%20b", "'a b'"),
        ("dolt://foo?table=t&mode=nonsense", "'replace'.*'append'.*'upsert'"),
        ("dolt://foo?table=a%60b", "table"),
    ],
)
def test_what_is_no_address_is_refused(uri: str, message: str) -> None:
    """Each way to get it wrong is named."""
    with pytest.raises(errors.InvalidUri, match=message):
        from_uri(uri)


def test_data_without_a_commit_has_no_address() -> None:
    """An address is a reference, which data alone is not."""
    with pytest.raises(errors.InvalidConfig, match="commit"):
        dolt_uri(DoltTable(DoltConfig("foo", "t"), pd.DataFrame({"a": [1]})))
