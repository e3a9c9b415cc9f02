"""What is under way is counted on the event loop while the writing thread lets in more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from api.entry.admission import Admission
from shared.database.access import Database
from shared.settings import Settings

pytestmark = pytest.mark.anyio


class Met(str):
    """A tenant's id. Once `then` is given, whoever looks for the tenant meets what that does."""

    then: Callable[[], None] | None = None

    __eq__ = str.__eq__

    def __hash__(self) -> int:
        then, self.then = self.then, None
        if then is not None:
            then()
        return super().__hash__()


async def test_a_tenant_that_comes_in_the_middle_of_counting_disturbs_nobody() -> None:
    class Counted:
        async def read(self, _function: Callable[..., Any]) -> dict[str, int]:
            admission.take(ada, 1)
            ada.then = lambda: admission.take("bob", 1)
            return {}

    ada = Met("ada")
    admission = Admission(cast(Database, Counted()), Settings())
    await admission.refresh()
    assert admission._live["ada"] == 1
