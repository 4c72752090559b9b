"""What a project may use of the service, from its stored definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from queryfleet.errors import ConfigurationError
from queryfleet.limits import ProjectLimits
from queryfleet.status.admission import ProjectShare

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queryfleet.settings import Settings

__all__ = ["share_of"]

log = structlog.get_logger()


def share_of(definition: Mapping[str, Any], settings: Settings) -> ProjectShare:
    """Return a project's weight and limits; of a definition that another release has stored perhaps the usual ones."""
    try:
        limits = ProjectLimits.of(definition, settings)
    except ConfigurationError as error:
        # Refused when the project was loaded; a definition of another release may still be here.
        log.warning("supervisor.limits_ignored", reason=error.message)
        return ProjectShare()
    return ProjectShare(
        weight=limits.weight,
        running_max=limits.running,
        running_per_user_max=limits.running_per_user,
        connection=limits.connection,
        running_per_connection_max=limits.running_per_connection,
    )
