"""Finding what a request names among what its caller may know: what is not theirs is refused and never suggested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queryfleet.errors import CompileError, ForbiddenError, NotFoundError
from queryfleet.semantic.access import permitted_explore
from queryfleet.semantic.nearest_name import nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from queryfleet.semantic.catalog import Catalog
    from queryfleet.semantic.explore import Explore

__all__ = ["find_explore"]


def find_explore(
    catalog: Catalog, name: str, attributes: Mapping[str, tuple[str, ...]], *, with_broken: bool
) -> Explore:
    """Return an explore as the caller may use it.

    Args:
        catalog: Of the project.
        name: What the request says.
        attributes: Of the caller.
        with_broken: The caller may know of explores that cannot be used.

    Raises:
        NotFoundError: There is none of that name; the message has the nearest one that the caller may use.
        ForbiddenError: There is, but it is not the caller's.
        CompileError: There is, but it cannot be used; the message says why.
    """
    found = catalog.explores.get(name)
    if found is not None:
        return permitted_explore(found, attributes)
    if with_broken and name in catalog.broken:
        raise CompileError(f"the explore `{name}` cannot be used: {catalog.broken[name]}")
    known = [each.name for each in catalog.explores.values() if _is_open(each, attributes)]
    raise NotFoundError(f"there is no explore `{name}`; {nearest_name(name, known)}", exploreName=name)


def _is_open(explore: Explore, attributes: Mapping[str, tuple[str, ...]]) -> bool:
    try:
        permitted_explore(explore, attributes)
    except ForbiddenError:
        return False
    return True
