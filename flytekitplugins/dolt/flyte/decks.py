"""Pages of a running task that belong to none of its inputs and outputs: what a merge was checked for.

Nothing of it ever fails the task. What a value shows of itself is said in `value_types` and `dataframes`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flytekit.core.context_manager import FlyteContextManager
from flytekit.deck import Deck

from . import context

if TYPE_CHECKING:
    from ..model.audits import Audit

logger = logging.getLogger(__name__)

MERGES = "Dolt merges"
"""The name of the page that shows what merges were checked for."""


def show_audit(audit: Audit) -> None:
    """Show what a merge was checked for beside the running task, where it has decks.

    Where the merge was refused the page is written at once: of a local task that fails flytekit writes none.
    """
    ctx = FlyteContextManager.current_context()
    if not context.is_in_task(ctx) or not ctx.user_space_params.enable_deck:
        return
    from ..report import page

    try:
        _deck(MERGES).append(page.audit(audit))
        if not audit.passed:
            Deck.publish()
    except Exception as error:  # noqa: BLE001  # whatever it is, what the merge says is what counts
        logger.warning("Cannot show what the merge of %r was checked for in a deck: %s", audit.branch, error)


def _deck(name: str) -> Deck:
    """Return the task's page of that name, of which flytekit shows only one."""
    decks: list[Deck] = FlyteContextManager.current_context().user_space_params.decks
    return next((deck for deck in decks if deck.name == name), None) or Deck(name)
