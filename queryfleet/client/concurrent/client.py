"""The client: asks the models and the warehouse, runs what is saved, finds queries again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Unpack

from queryfleet.client.answers import parse_snapshot
from queryfleet.client.asking import Ask, Terms, checked_terms, pivot_of, question_ask, sql_ask
from queryfleet.client.calls import cancel_call, poll_call
from queryfleet.client.concurrent.lanes import INTERRUPTIONS
from queryfleet.client.concurrent.query import AsyncQuery
from queryfleet.client.concurrent.service import AsyncServiceClient
from queryfleet.client.history import (
    is_uuid,
)
from queryfleet.client.question import Question, filters_of, names_of, sorts_of
from queryfleet.client.retry import CANCEL_RETRY
from queryfleet.client.saved import (
    chart_ask,
    content_call,
    sql_chart_ask,
    tile_ask,
    tile_of,
    total_ask,
    underlying_ask,
)
from queryfleet.client.texts import SHOWN_ROWS
from queryfleet.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from queryfleet.client.asking import JsonMapping, Parameters
    from queryfleet.client.calls import Call
    from queryfleet.client.question import Filters, Names, Sorts
    from queryfleet.client.saved import RowLimit

__all__ = ["AsyncClient"]

_HISTORY_PAGE = 1000


class AsyncClient(AsyncServiceClient):
    """Talks to one service. An async context manager; belongs to the event loop it is first used on.

    What is not given comes from the environment (`QUERYFLEET_URL`, `QUERYFLEET_TOKEN`, `QUERYFLEET_PROJECT`), a profile
    of `~/.config/queryfleet/config.toml`, or the service that `queryfleet up` started in this folder; see
    `queryfleet.client.connection`. Making a client asks nobody.

    Every request is safe to repeat and is repeated for a bounded time when the service is busy or cannot be
    reached. Queries go on when the client is closed.

    Args:
        url: The service's address, such as `http://127.0.0.1:8000`.
        token: A personal token of the service.
        project: Uuid or name of the project that is asked; each method takes another one. None: the service's only one.
        profile: Name of a profile; wins over the environment.
        retry: How long to repeat; the default is 30 seconds.
        timeout_seconds: For one answer, on top of the `wait_seconds` of a call. Connecting has 5 seconds.
        progress: Whether waiting for a query is shown; None: in a notebook, and where stderr is a terminal.
        cancel_on_interrupt: Whether Ctrl-C, and leaving a query's block, cancels the queries of this client.
        transport: Replaces the network, for tests.

    Raises:
        ConfigurationError: Address or token are not known or cannot be one, or there is no such profile.
    """

    async def sql(
        self,
        text: str,
        *,
        limit: int | None = None,
        parameters: Parameters | None = None,
        pivot: JsonMapping | None = None,
        pivot_plan: Literal["sql", "distributed"] | None = None,
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Start a statement. Needs the role editor or admin.

        Args:
            text: One reading statement in the warehouse's own dialect.
            limit: Most rows of the result; None for all.
            parameters: Values for `${ld.parameters.name}` in the statement, by name.
            pivot: Spreads values into columns: a `pivotConfiguration` as on the wire.
            pivot_plan: Who orders a pivot; None: the service chooses.
            terms: See `Terms`.

        Returns:
            The query, accepted and committed.

        Raises:
            ForbiddenError: The role does not allow SQL, or the statement would change data.
            TooManyRequestsError: Too many queries of the project wait, also after repeating.
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Refused by the service; the class says why. Mistakes in the SQL are told by the query.
        """
        ask = sql_ask(text, limit=limit, parameters=parameters, pivot=pivot, pivot_plan=pivot_plan)
        return await self._start(ask, terms)

    async def query(
        self,
        explore: str,
        *,
        dimensions: Names = (),
        metrics: Names = (),
        filters: Filters = (),
        sorts: Sorts = (),
        limit: int | None = 500,
        pivot: str | Sequence[str] | JsonMapping | None = None,
        pivot_plan: Literal["sql", "distributed"] | None = None,
        table_calculations: Iterable[JsonMapping] = (),
        additional_metrics: Iterable[JsonMapping] = (),
        custom_dimensions: Iterable[JsonMapping] = (),
        parameters: Parameters | None = None,
        timezone: str | None = None,
        date_zoom: JsonMapping | None = None,
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Ask the models of a project: fields of an explore by their ids, `<table>_<name>`.

        Args:
            explore: Its name; `explores` lists them.
            dimensions: Field ids; the rows are one for each combination of their values.
            metrics: Field ids.
            filters: All must hold: texts such as `orders_status=placed,shipped` or `orders_amount>=100`, or `Filter`s,
                each on a dimension, a metric that is asked for, or a table calculation. Or the wire form.
            sorts: Field ids, `-` before one for the largest first, or `Sort`s; empty: newest, or largest, first.
            limit: Most rows; None: as many as the service allows.
            pivot: Dimensions whose values become columns; or a `pivotConfiguration` as on the wire.
            pivot_plan: Who orders a pivot; None: the service chooses.
            table_calculations: Columns computed over the rows, as on the wire.
            additional_metrics: Metrics of this question alone, as on the wire.
            custom_dimensions: Dimensions of this question alone, as on the wire.
            parameters: Values for parameters of the models, by name.
            timezone: In which days begin, an IANA name; None: the project's.
            date_zoom: Shows a date at another `granularity`, as on the wire.
            terms: See `Terms`.

        Returns:
            The query, accepted and committed, with its `fields`.

        Raises:
            NotFoundError: There is no such explore.
            FieldReferenceError: The explore has no such field; the message has the nearest name.
            ForbiddenError: The explore or a field is not open to this user.
            ParameterError: A filter is none, or `pivot` names no dimension of the question.
            ServiceUnreachableError: No answer, also after repeating.
            ServiceError: Refused by the service; the class says why.
        """
        question = Question(
            explore=explore,
            dimensions=names_of(dimensions),
            metrics=names_of(metrics),
            filters=filters_of(filters),
            sorts=sorts_of(sorts),
            limit=limit,
            table_calculations=tuple(table_calculations),
            additional_metrics=tuple(additional_metrics),
            custom_dimensions=tuple(custom_dimensions),
            timezone=timezone,
        )
        ask = question_ask(
            question,
            parameters=parameters,
            pivot=pivot_of(pivot, question),
            pivot_plan=pivot_plan,
            date_zoom=date_zoom,
        )
        return await self._start(ask, terms)

    async def chart(
        self,
        chart: str,
        *,
        limit: RowLimit = None,
        pivot: bool = False,
        filters: Filters | None = None,
        parameters: Parameters | None = None,
        version_uuid: str | None = None,
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Run a saved chart under this user's own rights to the models.

        Args:
            chart: Its uuid or slug.
            limit: Most rows; None: as the chart says; `all`: as many as the service allows.
            pivot: Spread values into columns as the chart does.
            filters: Besides the chart's own: as those of `query`, on dimensions; or the wire form.
            parameters: Values for parameters; they win over saved ones.
            version_uuid: Another version than the newest.
            terms: See `Terms`.

        Raises:
            NotFoundError: There is no such chart or version.
            ServiceError: As `query`.
        """
        project_uuid = await self._project_uuid(terms.get("project"))
        ask = chart_ask(
            await self._content_uuid(project_uuid, "saved-charts", chart),
            limit=limit,
            pivot=pivot,
            filters=filters,
            parameters=parameters,
            version_uuid=version_uuid,
        )
        return await self._start(ask, terms)

    async def sql_chart(
        self,
        chart: str,
        *,
        limit: RowLimit = None,
        parameters: Parameters | None = None,
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Run a saved SQL chart; this needs no right to run SQL.

        Args:
            chart: Its uuid or slug.
            limit: Most rows; None: as the chart says; `all`: all.
            parameters: Values for parameters of the statement.
            terms: See `Terms`.

        Raises:
            NotFoundError: There is no such SQL chart.
            ServiceError: As `sql`.
        """
        ask = sql_chart_ask(chart, is_uuid=is_uuid(chart), limit=limit, parameters=parameters)
        return await self._start(ask, terms)

    async def dashboard_chart(
        self,
        dashboard: str,
        tile: str,
        *,
        filters: JsonMapping | None = None,
        sorts: Sorts = (),
        limit: RowLimit = None,
        pivot: bool = False,
        parameters: Parameters | None = None,
        date_zoom: JsonMapping | None = None,
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Run what a tile of a dashboard shows, a chart or a SQL chart, with the dashboard's filters.

        Args:
            dashboard: Its uuid or slug.
            tile: The tile's uuid or slug, or uuid or slug of the chart it shows.
            filters: Dashboard filters as on the wire: lists of rules under `dimensions`, `metrics` and
                `tableCalculations`; None: those that are saved with the dashboard.
            sorts: They replace the chart's if they name any of its columns.
            limit: Most rows; None: as the chart says; `all`: as many as the service allows.
            pivot: Spread values into columns as the chart does; a SQL chart does what it is saved to do.
            parameters: Values for parameters; they win over saved ones.
            date_zoom: Shows a date of a chart at another `granularity`, as on the wire.
            terms: See `Terms`.

        Raises:
            NotFoundError: There is no such dashboard or tile.
            ServiceError: As `query`.
        """
        project_uuid = await self._project_uuid(terms.get("project"))
        found = tile_of(await self._wire.send(content_call(project_uuid, "dashboards", dashboard)), tile)
        ask = tile_ask(
            found,
            await self._content_uuid(project_uuid, "sql-charts" if found.is_sql else "saved-charts", found.chart),
            limit=limit,
            pivot=pivot,
            filters=filters,
            sorts=sorts_of(sorts),
            parameters=parameters,
            date_zoom=date_zoom,
        )
        return await self._start(ask, terms)

    async def underlying_data(
        self,
        query: str | AsyncQuery,
        *,
        item: str | None = None,
        filters: Filters = (),
        sorts: Sorts = (),
        limit: RowLimit = 500,
        distinct: bool = True,
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Show the rows behind a value of an earlier query to the models.

        Args:
            query: That query, or its uuid.
            item: Field id of the value, which decides about the columns.
            filters: The other values of its row: as those of `query`, on dimensions; or the wire form.
            sorts: Field ids, `-` before one for the largest first.
            limit: Most rows; `all`: as many as the service allows.
            distinct: False: rows that are equal in all columns stay.
            terms: See `Terms`.

        Raises:
            NotFoundError: There is no such query of this user.
            ServiceError: As `query`.
        """
        ask = underlying_ask(
            query if isinstance(query, str) else query.query_uuid,
            item=item,
            filters=filters,
            limit=limit,
            sorts=sorts_of(sorts),
            distinct=distinct,
        )
        return await self._start(ask, terms)

    async def total(
        self,
        query: str | AsyncQuery,
        kind: Literal["grandTotal", "columnTotal", "rowTotal", "columnSubtotal", "rowSubtotal"],
        *,
        dimensions: Names = (),
        **terms: Unpack[Terms],
    ) -> AsyncQuery:
        """Have the warehouse compute totals of an earlier query to the models.

        Args:
            query: That query, or its uuid; in any state.
            kind: Over everything; for each column; for each row; for each column or row within a group.
            dimensions: Of subtotals: some index columns, or the first group columns.
            terms: See `Terms`.

        Raises:
            NotFoundError: There is no such query of this user.
            ServiceError: As `query`.
        """
        uuid = query if isinstance(query, str) else query.query_uuid
        return await self._start(total_ask(uuid, kind=kind, dimensions=names_of(dimensions)), terms)

    async def attach(self, query_uuid: str, *, project: str | None = None) -> AsyncQuery:
        """Return a query that was started before, here or elsewhere, to wait for it, read it or cancel it.

        Giving up on it does not cancel it; only `cancel` does.

        Raises:
            NotFoundError: There is no such query of this user in this project.
            ResultsExpiredError: The query was ready; its rows are no longer kept.
            ServiceUnreachableError: No answer, also after repeating.
        """
        project_uuid = await self._project_uuid(project)
        call = poll_call(project_uuid, query_uuid, page=None, page_size=SHOWN_ROWS, wait_seconds=0)
        snapshot = parse_snapshot(await self._wire.send(call), query_uuid=query_uuid, page_size=SHOWN_ROWS)
        return AsyncQuery(self._wire, project_uuid, snapshot, sql=None, is_own=False, progress=self._progress)

    async def _start(self, ask: Ask, terms: Terms) -> AsyncQuery:
        terms = checked_terms(terms)
        project_uuid = await self._project_uuid(terms.get("project"))
        call = ask.call(project_uuid, terms)
        try:
            snapshot = parse_snapshot(await self._wire.send(call))
        except INTERRUPTIONS:
            if self._cancels:
                await self._abandon(call, project_uuid)
            raise
        return AsyncQuery(
            self._wire,
            project_uuid,
            snapshot,
            sql=ask.sql if ask.sql is not None else snapshot.sql,
            is_own=self._cancels,
            progress=self._progress,
        )

    async def _abandon(self, call: Call, project_uuid: str) -> None:
        """Cancel what a request may have started whose answer nobody saw: its key finds the query again."""
        with suppress(ServiceError):
            started = parse_snapshot(await self._wire.send(call.without_wait(), retry=CANCEL_RETRY))
            await self._wire.send(cancel_call(project_uuid, started.query_uuid), retry=CANCEL_RETRY)
