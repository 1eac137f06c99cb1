"""Logging in without telling the password: which answers may be given to a server that has not proved who it is.

A MySQL server says how a client is to log in, and may change its mind. Some ways answer a challenge, so that the
password stays here; others hand it over, in the clear or locked with a key that the peer itself has sent, and anybody
who takes a port or a name would only have to ask. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

CHALLENGES = ("", "mysql_native_password", "caching_sha2_password", "client_ed25519")
"""The ways to log in that begin with the answer to a challenge; "" is that of servers that name none."""

_TAKEN, _IN_FULL = b"\x01\x03", b"\x01\x04"


def asked_for(packet: bytes, *, handled: Collection[str] = (), knows_key: bool = False) -> str | None:
    r"""Return the name of what a server asks for with a packet that it sends during the login, or None.

    None is what may be answered: a challenge, a way that the user has ``handled`` by code, the password locked with a
    key that ``knows_key`` says was there before, and the word that the login was taken or refused.

    >>> asked_for(b"\xfemysql_clear_password\0"), asked_for(b"\xfemysql_native_password\0salt")
    ('mysql_clear_password', None)
    """
    kind, rest = packet[:1], packet[1:]
    if kind == b"\xfe":  # another way, please; with nothing behind it, that of MySQL 4
        way = rest.partition(b"\0")[0].decode("ascii", "replace") or "mysql_old_password"
        of_the_user = way != "dialog" and way in handled  # dialogs are the driver's own, whatever is handled
        return None if way in CHALLENGES or of_the_user else way
    if kind != b"\x01" or packet == _TAKEN or (packet == _IN_FULL and knows_key):
        return None
    return "the password itself after a challenge"
