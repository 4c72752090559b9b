"""What every store of saved content promises."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from queryfleet.content.record import ContentKind, FilesLoaded
from queryfleet.errors import ConflictError, NotFoundError
from tests.fixtures.contents import file_content, new_content
from tests.fixtures.statuses import PROJECT, USER

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture
def contents(any_contents):
    """Give each kind of store in turn."""
    return any_contents


async def test_create_then_load_and_find_give_the_same(contents):
    """What was stored is read back by uuid and by slug, the order of its members kept."""
    new = new_content()
    stored = await contents.create(new)
    assert (stored.version, stored.newest_version, stored.is_from_file, stored.user_uuid) == (1, 1, False, USER)
    assert list(stored.body) == ["name", "z", "a"]
    assert await contents.load(new.content_uuid) == stored
    assert await contents.find(PROJECT, ContentKind.CHART, "revenue") == stored
    assert await contents.load(new.content_uuid, version_uuid=stored.version_uuid) == stored


async def test_what_is_not_there_is_none(contents):
    """Unknown content, kind, slug and version have nothing."""
    stored = await contents.create(new_content())
    assert await contents.load(str(uuid.uuid4())) is None
    assert await contents.load(stored.content_uuid, version_uuid=str(uuid.uuid4())) is None
    assert await contents.find(PROJECT, ContentKind.DASHBOARD, "revenue") is None
    assert await contents.find(str(uuid.uuid4()), ContentKind.CHART, "revenue") is None
    assert list(await contents.versions(str(uuid.uuid4()), count=10)) == []


async def test_slug_is_unique_in_a_kind_and_a_project(contents):
    """A second content of the slug is a conflict; another kind may have it, and it is free again after a delete."""
    first = await contents.create(new_content())
    with pytest.raises(ConflictError, match="revenue"):
        await contents.create(new_content())
    await contents.create(new_content(kind=ContentKind.SQL_CHART))
    assert await contents.delete(first.content_uuid)
    assert (await contents.create(new_content())).version == 1


async def test_create_in_unknown_project_is_not_found(contents):
    """Content needs its project."""
    with pytest.raises(NotFoundError):
        await contents.create(new_content(project_uuid=str(uuid.uuid4())))


async def test_update_adds_a_version_and_keeps_the_others(contents):
    """Each version can be read; a history is newest first."""
    first = await contents.create(new_content())
    second = await contents.update(
        first.content_uuid, based_on=1, name="Income", body={"name": "Income"}, user_uuid=None
    )
    assert (second.version, second.newest_version, second.name, second.user_uuid) == (2, 2, "Income", None)
    assert second.created_at == first.created_at
    assert await contents.load(first.content_uuid) == second
    old = await contents.load(first.content_uuid, version_uuid=first.version_uuid)
    assert (old.version, old.newest_version, old.name, old.body) == (1, 2, "Revenue", first.body)
    history = await contents.versions(first.content_uuid, count=10)
    assert [(each.version, each.user_uuid) for each in history] == [(2, None), (1, USER)]
    assert len(await contents.versions(first.content_uuid, count=1)) == 1


async def test_update_based_on_an_old_version_changes_nothing(contents):
    """Of several changes at the same moment one wins; the others are told."""
    first = await contents.create(new_content())
    changes = [
        contents.update(first.content_uuid, based_on=1, name=f"n{n}", body={"name": f"n{n}"}, user_uuid=USER)
        for n in range(5)
    ]
    done = [each for each in await asyncio.gather(*changes) if each is not None]
    assert len(done) == 1
    assert await contents.load(first.content_uuid) == done[0]
    assert not await contents.delete(first.content_uuid, based_on=1)
    assert await contents.delete(first.content_uuid, based_on=2)
    assert await contents.update(first.content_uuid, based_on=2, name="x", body={}, user_uuid=None) is None


async def test_list_is_in_the_order_of_names_and_can_be_paged(contents):
    """Only newest versions of one kind, a page at a time."""
    for name in ("b", "a", "C"):
        await contents.create(new_content(slug=name.lower(), name=name))
    await contents.create(new_content(kind=ContentKind.DASHBOARD))
    found = await contents.listed(PROJECT, ContentKind.CHART, count=10, skip=0)
    assert [each.name for each in found] == ["C", "a", "b"]
    page = await contents.listed(PROJECT, ContentKind.CHART, count=1, skip=1)
    assert [each.name for each in page] == ["a"]
    assert await contents.count(PROJECT, ContentKind.CHART) == 3


async def test_files_are_loaded_once_and_again_only_when_they_change(contents):
    """The same files change nothing; a changed one is a new version, a missing one is deleted."""
    files = [file_content("a"), file_content("b")]
    assert await contents.replace_files(PROJECT, files) == FilesLoaded(created=2)
    first = await contents.find(PROJECT, ContentKind.CHART, "a")
    assert (first.is_from_file, first.user_uuid) == (True, None)
    assert await contents.replace_files(PROJECT, files) == FilesLoaded(unchanged=2)
    assert await contents.replace_files(PROJECT, [file_content("a", x=1)]) == FilesLoaded(updated=1, deleted=1)
    second = await contents.find(PROJECT, ContentKind.CHART, "a")
    assert (second.content_uuid, second.version, second.body["x"]) == (first.content_uuid, 2, 1)
    assert await contents.find(PROJECT, ContentKind.CHART, "b") is None


async def test_files_leave_other_content_and_changes_of_others_alone(contents):
    """What no file made stays, and so does a change of a person until the file changes, too."""
    mine = await contents.create(new_content())
    files = [file_content("a")]
    await contents.replace_files(PROJECT, files)
    made = await contents.find(PROJECT, ContentKind.CHART, "a")
    await contents.update(made.content_uuid, based_on=1, name="Mine", body={"name": "Mine"}, user_uuid=USER)
    assert await contents.replace_files(PROJECT, files) == FilesLoaded(unchanged=1)
    assert (await contents.find(PROJECT, ContentKind.CHART, "a")).name == "Mine"
    assert await contents.replace_files(PROJECT, []) == FilesLoaded(deleted=1)
    assert await contents.load(mine.content_uuid) == mine


async def test_file_takes_over_the_content_that_has_its_slug(contents):
    """It becomes the next version of that content, which is the file's from then on."""
    mine = await contents.create(new_content(slug="a"))
    assert await contents.replace_files(PROJECT, [file_content("a")]) == FilesLoaded(updated=1)
    found = await contents.load(mine.content_uuid)
    assert (found.version, found.is_from_file) == (2, True)


async def test_files_of_unknown_project_are_refused(contents):
    """Content needs its project."""
    with pytest.raises(NotFoundError):
        await contents.replace_files(str(uuid.uuid4()), [])
