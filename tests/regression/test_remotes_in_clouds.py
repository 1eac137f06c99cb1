"""Remotes in buckets: `aws://[table:bucket]/database` was refused as a bad address, and never got to Dolt."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, DoltError, Remote, read, write
from flytekitplugins.dolt.errors import ConnectionLost, QueryFailed


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("aws://[locks:bucket]/foo", ConnectionLost, "failed to get dynamo table.*'locks'.*127.0.0.1:9"),
        ("gs://bucket/foo", QueryFailed, "GOOGLE_APPLICATION_CREDENTIALS.*/nowhere.json.*no such file"),
        ("az://account/container/foo", QueryFailed, "DefaultAzureCredential.*failed to acquire a token"),
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
