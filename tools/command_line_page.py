"""Writes docs/command-line.md out of the parser of `python -m flytekitplugins.dolt`. `--check` only compares.

What a command takes, and in which words, stands in the parser alone, so the page cannot name anything that is not there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from flytekitplugins.dolt import __main__ as command_line

PAGE = Path(__file__).parent.parent / "docs" / "command-line.md"

HEAD = """\
# Command line
<!-- before this page is run:
import os
import pandas as pd
from flytekitplugins.dolt import DoltConfig, NewBranch, create_repository, write
create_repository("foo")
os.mkdir("foo/notes")
rabbits = DoltConfig("foo", "rabbits", primary_key=["name"])
write(rabbits, pd.DataFrame({"name": ["Alice"], "count": [1]}), message="one")
write(rabbits, pd.DataFrame({"name": ["Alice", "Bo"], "count": [1, 2]}), message="two")
-->

**What can be seen and done from a terminal?**

What `python -m flytekitplugins.dolt` can do, made by `python tools/command_line_page.py` out of its parser; do not edit.

```console
$ cd foo/notes
$ python -m flytekitplugins.dolt tables
2 rows  rabbits
$ python -m flytekitplugins.dolt show rabbits --at HEAD~1
rabbits at 3v1d8q0hk2vsm5o8dgo81jm2dl9d7m3u of main
 name  count
Alice      1
$ python -m flytekitplugins.dolt diff HEAD~1
rabbits: 1 added, 0 modified, 0 removed
diff_type name  count before_count
    added   Bo      2         NULL
```

* **Which repository.** The one that the working folder is in, as Git finds it; one that belongs to another user has to be named. `--db` names
  another: its folder or one inside, the URL of a server (`mysql+pymysql://user@host:3306/db`), or that of a [remote](clusters.md#a-remote)
  (`https://...`, `file://...`), which is cloned, and pushed to by `merge`.
* **Passwords** are in no argument and no URL. That of a server is the environment variable `DOLT_PASSWORD`, or the one that `--password-env` names; where
  there is none it is asked for on the terminal. It goes to the server that is named first; each other one (`--repository`) is asked for.
* **`--json`** has all on standard output as JSON, an error, too: `{"error": {"type": "RevisionNotFound", "message": "...", "facts": {...}}}`, whose
  types and facts are those of [the errors](troubleshooting.md). In `show`, values that JSON does not have are text, bytes hexadecimal digits, NaN null.
* **Exit codes**: 0 all is well, 1 something is to be done or went wrong, 2 the arguments make no sense, 130 interrupted.
* **Colours** are for terminals. `NO_COLOR=1` turns them off.
"""

OPTIONS = """
`python -m flytekitplugins.dolt --version` prints the versions of this package and of Dolt, `--help` what a command takes. All that look at a
repository have these options (`doctor` without `--json`):

| option | what it is |
|---|---|
"""

TAIL = "\nNext: [Performance](performance.md)\n"

OF_ALL = ("db", "password_env", "json")


def commands() -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Give each command with its parser and what its help says."""
    (found,) = [action for action in command_line._parser()._actions if isinstance(action, argparse._SubParsersAction)]
    words = {action.dest: action.help or "" for action in found._choices_actions}
    for name, parser in found.choices.items():
        yield name, parser, words[name]


def section(name: str, parser: argparse.ArgumentParser, words: str, of_all: Sequence[str]) -> str:
    """Return what the page says of a command, without the rows that it has in common with all."""
    actions = [action for action in parser._actions if action.dest != "help" and row(action) not in of_all]
    places = [action for action in actions if not action.option_strings]
    usage = [f"[{action.dest}]" if action.nargs == "?" else action.dest for action in places]
    options = ["[options]"] if len(parser._actions) > 1 + len(places) else []
    text = f"\n## {name}\n\n{words[0].upper()}{words[1:]}.\n\n`{' '.join([parser.prog, *usage, *options])}`\n"
    if actions:
        text += "\n| argument | what it is |\n|---|---|\n" + "".join(map(row, actions))
    return text


def row(action: argparse.Action) -> str:
    """Return the line of one argument."""
    name = ", ".join(_spellings(action)) or f"`{action.dest}`"
    choices = f" ({', '.join(map(str, action.choices))})" if action.choices else ""
    return f"| {name} | {action.help or ''}{choices} |\n"


def _spellings(action: argparse.Action) -> list[str]:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    value = "" if action.nargs == 0 else f" {metavar}"
    return [f"`{option}{value}`" for option in action.option_strings]


def page() -> str:
    """Return the whole page."""
    found = list(commands())
    (log,) = [parser for name, parser, _ in found if name == "log"]
    of_all = [row(action) for action in log._actions if action.dest in OF_ALL]
    return HEAD + OPTIONS + "".join(of_all) + "".join(section(*command, of_all) for command in found) + TAIL


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        sys.exit("docs/command-line.md is not what the parser says any more: run python tools/command_line_page.py")
