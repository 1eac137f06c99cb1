"""Remotes in buckets: `aws://[table:bucket]/database` was refused as a bad address, and never got to Dolt."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, DoltError, Remote, read, trailers, write
from flytekitplugins.dolt.errors import ConnectionLost, QueryFailed


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("aws://[locks:bucket]/foo", ConnectionLost, "failed to get dynamo table: 'locks' .*127.0.0.1:9"),
        ("gs://bucket/foo", QueryFailed, "GOOGLE_APPLICATION_CREDENTIALS .*/nowhere.json: no such file"),
        ("az://account/container/foo", QueryFailed, "DefaultAzureCredential: failed to acquire a token"),
    ],
)
@pytest.mark.parametrize("door", ["read", "write"])
def test_dolt_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, error: type[DoltError], words: str, door: str
) -> None:
    """The URL is handed on as it is, with the cloud's own variables; what Dolt finds there is said in its words."""
    given = {"ENDPOINT_URL": "http://127.0.0.1:9", "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "MAX_ATTEMPTS": "1"}
    for name, value in {**given, "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    for name in ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FLYTE_DOLT_CLONES", str(tmp_path / "clones"))
    config = DoltConfig("foo", "t", remote_conf=Remote(url))
    with pytest.raises(error, match=words):
        read(config) if door == "read" else write(config, pd.DataFrame({"a": [1]}))


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("aws://[locks:bucket]/foo", "aws://[locks:bucket]/foo"),
        ("az://account/container/foo", "az://account/container/foo"),
        ("file:///mnt/foo", "file:///mnt/foo"),
        ("HTTPS://me:secret@dolt.example:8000/foo?x=1#y", "https://dolt.example:8000/foo"),
        ("mysql+pymysql://me@[::1]:3306/foo?ssl_disabled=true", "mysql+pymysql://[::1]:3306/foo"),
        ("gs://bucket", "gs://bucket"),
    ],
)
def test_what_a_commit_calls_a_place(address: str, place: str) -> None:
    """A commit names a repository without user, password and options, whatever the form of its address."""
    assert trailers.place(address) == place
