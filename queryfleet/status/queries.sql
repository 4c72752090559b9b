-- Every statement the status store runs. `-- name:` begins one; the comment below it says what it is for.

-- name: accept
-- Store a new query; no row comes back when the idempotency key was used before.
insert into query (query_uuid, project_uuid, user_uuid, context, sql, row_limit, idempotency_key, request_hash)
values (%(query_uuid)s, %(project_uuid)s, %(user_uuid)s, %(context)s, %(sql)s, %(row_limit)s,
        %(idempotency_key)s, %(request_hash)s)
on conflict (project_uuid, user_uuid, idempotency_key) where idempotency_key is not null do nothing
returning query_uuid::text;

-- name: find_idempotent
-- The query accepted earlier under the same key.
select query_uuid::text, request_hash from query
where project_uuid = %(project_uuid)s and user_uuid = %(user_uuid)s and idempotency_key = %(idempotency_key)s;

-- name: load
-- One query.
select * from query where query_uuid = %(query_uuid)s;

-- name: chunks
-- The chunks that hold rows [first_row, end_row) of one attempt, in order.
select chunk_index, object_key, first_row, row_count, byte_count, crc32, blocks from chunk
where query_uuid = %(query_uuid)s and attempt = %(attempt)s
  and first_row < %(end_row)s
  and first_row >= coalesce((select max(first_row) from chunk
                             where query_uuid = %(query_uuid)s and attempt = %(attempt)s
                               and first_row <= %(first_row)s), 0)
order by first_row;

-- name: queue_position
-- How many queries are claimed before this one, plus one.
with busy as (select project_uuid, count(*) as n from query where status = 'running' group by project_uuid),
line as (
  select q.query_uuid, q.created_at,
         coalesce(b.n, 0) + row_number() over (partition by q.project_uuid order by q.created_at, q.query_uuid) as turn
  from query q left join busy b using (project_uuid) where q.status = 'pending')
select count(*) + 1 as position from line, (select * from line where query_uuid = %(query_uuid)s) mine
where (line.turn, line.created_at, line.query_uuid) < (mine.turn, mine.created_at, mine.query_uuid);

-- name: claim
-- Give the next pending query to an actor. The project with the fewest running queries goes first.
with busy as (select project_uuid, count(*) as n from query where status = 'running' group by project_uuid),
line as (
  select q.query_uuid, q.created_at,
         coalesce(b.n, 0) + row_number() over (partition by q.project_uuid order by q.created_at, q.query_uuid) as turn
  from query q left join busy b using (project_uuid) where q.status = 'pending'),
pick as (
  select query_uuid from query
  where query_uuid in (select query_uuid from line order by turn, created_at, query_uuid limit 1)
    and status = 'pending'
  for update skip locked)
update query set
  status = 'running', phase = 'connecting', attempt = attempt + 1, actor_name = %(actor_name)s,
  lease_until = now() + make_interval(secs => %(lease_seconds)s),
  claimed_at = clock_timestamp(), executing_at = null, fetching_at = null, finishing_at = null,
  warehouse_query_id = null, columns = null, arrow_schema = null,
  row_count = 0, byte_count = 0, chunk_count = 0
from pick where query.query_uuid = pick.query_uuid
returning query.*;

-- name: renew
-- Keep a lease. No row: the attempt is not the current one any more.
update query set lease_until = now() + make_interval(secs => %(lease_seconds)s)
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: record_executing
-- The warehouse has the statement, under this id of its own.
update query set phase = 'executing', executing_at = clock_timestamp(),
  warehouse_query_id = coalesce(%(warehouse_query_id)s, warehouse_query_id)
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: record_fetching
-- The warehouse has told the columns; rows follow.
update query set phase = 'fetching', fetching_at = clock_timestamp(),
  columns = %(columns)s, arrow_schema = %(arrow_schema)s
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: record_finishing
-- The last row has arrived.
update query set phase = 'finishing', finishing_at = clock_timestamp()
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: commit_chunk
-- Publish one durable chunk: the next of its attempt, or nothing.
with owner as (
  update query set row_count = row_count + %(row_count)s, byte_count = byte_count + %(byte_count)s,
    chunk_count = chunk_count + 1
  where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
    and cancel_requested_at is null
    and chunk_count = %(chunk_index)s and row_count = %(first_row)s
  returning query_uuid)
insert into chunk (query_uuid, attempt, chunk_index, object_key, first_row, row_count, byte_count, crc32, blocks)
select query_uuid, %(attempt)s, %(chunk_index)s, %(object_key)s, %(first_row)s, %(row_count)s, %(byte_count)s,
       %(crc32)s, %(blocks)s
from owner
returning 1 as committed;

-- name: chunk_committed
-- Whether this very chunk is published already.
select 1 as committed from chunk
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and chunk_index = %(chunk_index)s
  and object_key = %(object_key)s and byte_count = %(byte_count)s and crc32 = %(crc32)s;

-- name: finish
-- The result is complete: its totals must be those of the committed chunks.
update query set status = 'ready', phase = 'finishing', ended_at = clock_timestamp(), lease_until = null,
  finishing_at = coalesce(finishing_at, clock_timestamp()),
  results_expire_at = now() + make_interval(secs => %(ttl_seconds)s)
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
  and cancel_requested_at is null
  and row_count = %(row_count)s and byte_count = %(byte_count)s and chunk_count = %(chunk_count)s
returning 1 as done;

-- name: fail
-- End in error. A running query only by its current attempt, a pending one by anybody (attempt null).
update query set status = 'error', ended_at = clock_timestamp(), lease_until = null,
  error_name = %(error_name)s, error_message = %(error_message)s, error_status = %(error_status)s,
  error_details = %(error_details)s
where query_uuid = %(query_uuid)s
  and ((status = 'running' and attempt = %(attempt)s) or (status = 'pending' and %(attempt)s::integer is null))
returning 1 as done;

-- name: request_cancel
-- Ask for a cancel: a pending query ends at once, a running one is marked, an ended one stays as it is.
update query set
  status = case when status = 'pending' then 'cancelled' else status end,
  ended_at = case when status = 'pending' then clock_timestamp() else ended_at end,
  cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
where query_uuid = %(query_uuid)s and status in ('pending', 'running')
returning *;

-- name: confirm_cancel
-- The warehouse has let go of this attempt.
update query set status = 'cancelled', ended_at = clock_timestamp(), lease_until = null,
  row_count = 0, byte_count = 0, chunk_count = 0,
  warnings = case when %(warning)s::text is null then warnings else warnings || to_jsonb(%(warning)s::text) end
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
  and cancel_requested_at is not null
returning 1 as done;

-- name: forget_chunks
-- Drop the references of an attempt whose objects are gone.
delete from chunk where query_uuid = %(query_uuid)s and attempt = %(attempt)s;

-- name: expired_leases
-- Running queries whose actor has not been heard of in time.
select query_uuid::text, attempt, cancel_requested_at is not null as cancel_requested, actor_name from query
where status = 'running' and lease_until < now();

-- name: cancels_pending
-- Running queries that somebody wants cancelled.
select query_uuid::text, attempt, actor_name, warehouse_query_id,
       extract(epoch from clock_timestamp() - cancel_requested_at)::float8 as seconds
from query where status = 'running' and cancel_requested_at is not null;

-- name: lose
-- Take a query from an actor that is gone: back into the queue, or the end after the last attempt.
update query set
  status = case when cancel_requested_at is not null then 'cancelled'
                when attempt >= %(attempts_max)s then 'error' else 'pending' end,
  phase = 'queued', actor_name = null, lease_until = null,
  ended_at = case when cancel_requested_at is not null or attempt >= %(attempts_max)s then clock_timestamp() end,
  error_name = case when cancel_requested_at is null and attempt >= %(attempts_max)s then %(error_name)s end,
  error_message = case when cancel_requested_at is null and attempt >= %(attempts_max)s then %(error_message)s end,
  error_status = case when cancel_requested_at is null and attempt >= %(attempts_max)s then 500 end
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning status;

-- name: pending_count
-- How many queries wait.
select count(*) as n from query where status = 'pending';

-- name: put_project
-- Store a project, or its newer definition.
insert into project (project_uuid, name, definition) values (%(project_uuid)s, %(name)s, %(definition)s)
on conflict (project_uuid) do update set name = excluded.name, definition = excluded.definition, updated_at = now();

-- name: load_project
-- One project's definition.
select definition from project where project_uuid = %(project_uuid)s;

-- name: projects
-- All projects.
select project_uuid::text, name from project order by created_at, project_uuid;

-- name: put_token
-- Store a token by its hash, or keep the one that is there.
insert into access_token (token_uuid, token_hash, user_uuid, name, expires_at)
values (%(token_uuid)s, %(token_hash)s, %(user_uuid)s, %(name)s, %(expires_at)s)
on conflict (token_hash) do update set name = excluded.name, expires_at = excluded.expires_at, revoked_at = null
returning token_uuid::text;

-- name: put_role
-- Let a token into a project.
insert into access_role (token_uuid, project_uuid, role) values (%(token_uuid)s, %(project_uuid)s, %(role)s)
on conflict (token_uuid, project_uuid) do update set role = excluded.role;

-- name: load_token
-- Who a token is and where it may go; no row when it is unknown, expired or revoked.
select t.token_uuid::text, t.user_uuid::text, t.name,
       coalesce(jsonb_object_agg(r.project_uuid, r.role) filter (where r.project_uuid is not null), '{}') as roles
from access_token t left join access_role r using (token_uuid)
where t.token_hash = %(token_hash)s and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
group by t.token_uuid, t.user_uuid, t.name;

-- name: revoke_token
-- End a token.
update access_token set revoked_at = now() where token_uuid = %(token_uuid)s and revoked_at is null returning 1 as done;

-- name: ping
-- Whether the database answers and has our schema.
select version_num from alembic_version;
