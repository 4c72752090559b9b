"""Who runs next."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from queryfleet.status.admission import ProjectShare, Slot, Waiting, claim_order

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def waits(number, project="a", user="u"):
    return Waiting(
        query_uuid=f"{project}{user}{number:04d}",
        project_uuid=project,
        user_uuid=user,
        created_at=BEGIN + timedelta(seconds=number),
    )


def order(waiting, running=(), shares=None, count=100):
    return claim_order(waiting, running, shares or {}, count=count)


def test_claim_order_of_one_user_is_first_come_first_served():
    """A user's own queries run in the order they were asked."""
    queries = [waits(number) for number in range(5)]
    assert queries == order(list(reversed(queries)))


def test_claim_order_with_a_flood_lets_the_other_project_go_second():
    """However many queries one project has waiting, another project's first one is next but one."""
    flood = [waits(number) for number in range(500)]
    late = waits(9999, project="b")
    assert late == order([*flood, late], count=2)[1]


def test_claim_order_with_everything_taken_by_one_project_gives_the_next_slot_to_the_other():
    """The first slot that becomes free goes to the project that has none."""
    flood = [waits(number) for number in range(500)]
    late = waits(9999, project="b")
    running = [Slot(project_uuid="a", user_uuid="u")] * 4
    assert [late] == order([*flood, late], running, count=1)


def test_claim_order_shares_slots_by_weight():
    """A project with three times the weight starts three times as many."""
    queries = [waits(number, project) for project in ("a", "b") for number in range(100)]
    shares = {"a": ProjectShare(weight=3), "b": ProjectShare(weight=1)}
    started = Counter(query.project_uuid for query in order(queries, shares=shares, count=40))
    assert {"a": 30, "b": 10} == started


def test_claim_order_inside_a_project_lets_users_take_turns():
    """One user's flood does not make a colleague wait."""
    queries = [*(waits(number, user="u") for number in range(50)), waits(99, user="v")]
    assert "v" in {query.user_uuid for query in order(queries, count=2)}


def test_claim_order_passes_over_what_is_at_its_limit():
    """Limits of project, user and connection each hold, and what is behind them does not wait."""
    queries = [waits(number, project) for project in ("a", "b", "c") for number in range(5)]
    shares = {
        "a": ProjectShare(running_max=2),
        "b": ProjectShare(running_per_user_max=1),
        "c": ProjectShare(connection="w", running_per_connection_max=3),
    }
    running = [Slot(project_uuid="c", user_uuid="u")]
    started = Counter(query.project_uuid for query in order(queries, running, shares))
    assert {"a": 2, "b": 1, "c": 2} == started


def test_claim_order_counts_a_connection_across_projects():
    """Two projects on one warehouse connection share its limit."""
    share = ProjectShare(connection="w", running_per_connection_max=2)
    queries = [waits(number, project) for project in ("a", "b") for number in range(5)]
    assert len(order(queries, shares={"a": share, "b": share})) == 2


QUERIES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("uvw"), st.integers(0, 50)), max_size=60, unique=True
).map(lambda rows: [waits(number, project, user) for project, user, number in rows])
SHARES = st.builds(
    ProjectShare,
    weight=st.sampled_from([0.5, 1.0, 2.0]),
    running_max=st.none() | st.integers(1, 6),
    running_per_user_max=st.none() | st.integers(1, 3),
    connection=st.sampled_from(["", "w"]),
    running_per_connection_max=st.none() | st.integers(1, 6),
)


@given(QUERIES, st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvw"))), st.data())
def test_claim_order_never_exceeds_a_limit_and_never_idles(waiting, running, data):
    """Limits hold whatever runs already; and a query is left waiting only if a limit or the count says so."""
    shares = {project: data.draw(SHARES) for project in "abc"}
    count = data.draw(st.integers(0, 20))
    slots = [Slot(project_uuid=project, user_uuid=user) for project, user in running]
    chosen = claim_order(waiting, slots, shares, count=count)
    after = slots + [Slot(project_uuid=query.project_uuid, user_uuid=query.user_uuid) for query in chosen]

    def used(key):
        return Counter(key(slot) for slot in after)

    def blocked(query):
        share = shares[query.project_uuid]
        connection = share.connection or query.project_uuid
        counts = (
            (used(lambda slot: slot.project_uuid)[query.project_uuid], share.running_max),
            (
                used(lambda slot: (slot.project_uuid, slot.user_uuid))[query.project_uuid, query.user_uuid],
                share.running_per_user_max,
            ),
            (
                used(lambda slot: shares[slot.project_uuid].connection or slot.project_uuid)[connection],
                share.running_per_connection_max,
            ),
        )
        return any(limit is not None and taken >= limit for taken, limit in counts)

    left = [query for query in waiting if query not in chosen]
    assert len(set(chosen)) == len(chosen) <= count
    assert len(chosen) == count or all(blocked(query) for query in left)
