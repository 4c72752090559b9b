-- Every statement about saved content. `-- name:` begins one; the comment below it says what it is for.

-- name: create
-- Store content as version 1. No row: its slug is taken.
with added as (
  insert into content (content_uuid, project_uuid, kind, slug, name, file_digest)
  values (%(content_uuid)s, %(project_uuid)s, %(kind)s, %(slug)s, %(name)s, %(file_digest)s)
  on conflict (project_uuid, kind, slug) do nothing
  returning *)
, written as (
  insert into content_version (version_uuid, content_uuid, version, body, name, user_uuid)
  select %(version_uuid)s, content_uuid, version, %(body)s, name, %(user_uuid)s from added
  returning *)
select a.content_uuid::text, a.project_uuid::text, a.kind, a.slug, w.name, a.version as newest_version,
       a.file_digest, a.created_at, w.version, w.version_uuid::text, w.body, w.user_uuid::text,
       w.created_at as updated_at
from added a join written w using (content_uuid);

-- name: load
-- One version of content: the newest, or the one that is named.
select c.content_uuid::text, c.project_uuid::text, c.kind, c.slug, v.name, c.version as newest_version,
       c.file_digest, c.created_at, v.version, v.version_uuid::text, v.body, v.user_uuid::text,
       v.created_at as updated_at
from content c join content_version v on v.content_uuid = c.content_uuid
  and (v.version_uuid = %(version_uuid)s::uuid or (%(version_uuid)s::uuid is null and v.version = c.version))
where c.content_uuid = %(content_uuid)s;

-- name: find
-- The newest version of the content with a slug.
select c.content_uuid::text, c.project_uuid::text, c.kind, c.slug, v.name, c.version as newest_version,
       c.file_digest, c.created_at, v.version, v.version_uuid::text, v.body, v.user_uuid::text,
       v.created_at as updated_at
from content c join content_version v using (content_uuid, version)
where c.project_uuid = %(project_uuid)s and c.kind = %(kind)s and c.slug = %(slug)s;

-- name: update
-- Add a version. No row: somebody else added one, or there is no such content.
with changed as (
  update content
  set version = version + 1, name = %(name)s, file_digest = coalesce(%(file_digest)s, file_digest)
  where content_uuid = %(content_uuid)s and version = %(based_on)s
  returning *)
, written as (
  insert into content_version (version_uuid, content_uuid, version, body, name, user_uuid)
  select %(version_uuid)s, content_uuid, version, %(body)s, name, %(user_uuid)s from changed
  returning *)
select c.content_uuid::text, c.project_uuid::text, c.kind, c.slug, w.name, c.version as newest_version,
       c.file_digest, c.created_at, w.version, w.version_uuid::text, w.body, w.user_uuid::text,
       w.created_at as updated_at
from changed c join written w using (content_uuid);

-- name: delete
-- Delete content with its versions. No row: it is not there, or not of that version any more.
delete from content
where content_uuid = %(content_uuid)s and (%(based_on)s::integer is null or version = %(based_on)s)
returning 1 as done;

-- name: list
-- Newest versions in the order of names, whatever the database's own order of texts is.
select c.content_uuid::text, c.project_uuid::text, c.kind, c.slug, v.name, c.version as newest_version,
       c.file_digest, c.created_at, v.version, v.version_uuid::text, v.body, v.user_uuid::text,
       v.created_at as updated_at
from content c join content_version v using (content_uuid, version)
where c.project_uuid = %(project_uuid)s and c.kind = %(kind)s
order by c.name collate "C", c.slug collate "C"
limit %(count)s offset %(skip)s;

-- name: count
-- How many contents of a kind a project has.
select count(*) as n from content where project_uuid = %(project_uuid)s and kind = %(kind)s;

-- name: versions
-- The history of content.
select version, version_uuid::text, created_at, user_uuid::text
from content_version where content_uuid = %(content_uuid)s
order by version desc limit %(count)s;

-- name: lock_project
-- Let one load of files at a time change a project's content. No row: there is no such project.
select 1 as done from project where project_uuid = %(project_uuid)s for update;

-- name: known
-- What a load of files has to know of the content that is there.
select content_uuid::text, kind, slug, version, file_digest from content
where project_uuid = %(project_uuid)s
for update;
