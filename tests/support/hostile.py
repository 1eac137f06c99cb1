"""Hostile strings for every place that takes a string: a fixed list of classics, and seeded mixtures of their parts."""

from __future__ import annotations

import random

from factor import FACTOR, SEED

COUNT = 500 * FACTOR

# fmt: off
CLASSICS = [
    "", " ", "  x  ", "'", '"', "`", "``", "a`b", "a``b", "\\", "\\'", "a\\", ";", "--", "-- ", "#", "/*", "*/",
    "/**/", "x'; DROP TABLE users; --", "x`; DROP TABLE users; -- ", '"; DROP TABLE users; #',
    "users; DROP TABLE users", "' OR '1'='1", "1 OR 1=1",
    "' UNION SELECT user, authentication_string FROM mysql.user -- ", "users`.`id",
    "'; CALL DOLT_BRANCH('pwned'); --", "`; CALL DOLT_RESET('--hard'); -- ", "x'); CALL DOLT_BRANCH('pwned",
    "foo`.`users", "CALL DOLT_BRANCH('pwned')", "DELETE FROM users", "SELECT 1; DROP TABLE users", "TRUNCATE users",
    "SET GLOBAL x = 1", "SELECT * FROM users INTO OUTFILE 'pwned'", "SELECT 1 INTO @x",
    "SELECT LOAD_FILE('/etc/passwd')", "CREATE USER x", "SELECT * FROM foo.users", "SELECT * FROM `foo/main`.users",
    "SELECT SLEEP(100)", "SELECT * FROM mysql.user", "-", "--all", "-x", "-D", "-f", "--force", "-m", "--author",
    "--hard", "-A", "--help", "-", "--", "--delete=main", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "/",
    "//", "a/../../b", "./", "~", "~/x", "~nobody-there/x", "..\\..\\x", "C:\\x", "file:///etc/passwd", ".dolt",
    "a/.dolt/noms", "%2e%2e%2f", "/proc/self/environ", "/dev/null", "\0", "a\0b", "\n", "a\nb", "a\r\nb", "\t",
    "\x1b[31m", "\x7f", "\x1a", "\b", "\n\nFlyte-Write-Key: stolen", "\v\f", "é", "e\u0301", "日本語", "😀", "\u202e",
    "\u200b", "\ufeff", "\u2028", "ﬁ", "İ", "ß", "\ud800", "a\udfffb", "\U0010ffff", "\uff07", "\u2019", "\u02bc",
    "\xa0", "\xad", "٣", "𝟙", "a" * 65, "é" * 64, "x" * 256, "x" * 5_000, "😀" * 1_000, "%s", "%d", "%n", "%(x)s", "%",
    "%%", "{}", "{0}", "{0.__class__}", "{x!r}", "$x", "${HOME}", "$(id)", "`id`", "|id", "&id", "?", ":x", "@x",
    "@@version", "@{-1}", "HEAD", "head", "HEAD~1", "HEAD^2", "HEAD~" + "9" * 30, "WORKING", "STAGED", "main^0",
    "main", "MAIN", "main~0", "refs/heads/main", "refs/heads/../main", "main..other", "main...other", "^main",
    "a@b:c", "a.lock", "flyte-tmp/x", "0" * 32, "v" * 32, "z" * 32, "9" * 5_000, "9" * 5_000 + " days ago",
    "0 days ago", "1 day ago", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "2024-02-30", "-1 days ago",
    "1.5 months ago", "now()", "mysql://[", "mysql://a:b@c:d/e", "mysql+pymysql://x@127.0.0.1:99999/y", "http://[::1",
    "dolt://x", "://", "a://b:c@d", "users", "USERS", "id", "ID", "_flyte_row", "dolt_log", "dolt_status",
    "information_schema", "select", "null", "None", "users\n", "main\n", "id ", " id", "id,name", "id DESC", "1", "*",
    "id` DESC, `name", "(SELECT 1)", "NaN", "\\N", "\\0",
]
# fmt: on
"""Each of them has broken something somewhere."""

# fmt: off
_PARTS = [
    "'", '"', "`", "\\", ";", "--", "#", "/*", "*/", "(", ")", ",", "=", "%s", "%", "{}", "{0}", "$", "@", ":", "?",
    "|", "&", " ", "\t", "\n", "\r", "\0", "\x1a", "\x1b", "/", "..", "../", ".", "-", "~", "^", "HEAD", "main",
    "users", "id", "1", "DROP TABLE users", "CALL DOLT_BRANCH('pwned')", "SELECT", "UNION ALL", "OR 1=1",
    "INTO OUTFILE 'pwned'", "AS OF 'main'", "é", "😀", "\u202e", "\u200b", "\ud800", "\uff07", "--all", "-x", "--hard",
    "flyte-tmp/", ".dolt", "Flyte-Write-Key: x", "a",
]
# fmt: on


def strings() -> list[str]:
    """Return the classics, and as many mixtures as it takes; the same ones for the same seed."""
    chance, found = random.Random(SEED), dict.fromkeys(CLASSICS)
    while len(found) < COUNT:
        found["".join(chance.choices(_PARTS, k=chance.randint(1, 6)))] = None
    return list(found)
