-- Every statement the status store runs. `-- name:` begins one; the comment below it says what it is for.

-- name: accept
-- Store a new query. No row: its project has too many waiting, or it would lead, and another query with its cache key
-- runs already or has become ready since the last look. The insert alone would not notice one that is just ending: it
-- waits for that end, and then finds nothing in its way.
insert into query (query_uuid, project_uuid, user_uuid, context, sql, row_limit, idempotency_key, request_hash,
                   fields, timezone, question, pivot, selection, cache_key, is_leader, poll_ttl_seconds,
                   polled_at)
select %(query_uuid)s, %(project_uuid)s, %(user_uuid)s, %(context)s, %(sql)s, %(row_limit)s, %(idempotency_key)s,
       %(request_hash)s, %(fields)s, %(timezone)s, %(question)s, %(pivot)s, %(selection)s, %(cache_key)s,
       %(is_leader)s, %(poll_ttl_seconds)s, now()
where (select count(*) from query
       where status = 'pending' and project_uuid = %(project_uuid)s and leader_uuid is null) < %(queue_max)s
  and not (%(is_leader)s and (
    exists (select from query where cache_key = %(cache_key)s and is_leader and status in ('pending', 'running'))
    or exists (select from query where cache_key = %(cache_key)s and status = 'ready' and objects_deleted_at is null
               and results_expire_at > now() + make_interval(secs => %(margin_seconds)s))))
on conflict (cache_key) where is_leader and status in ('pending', 'running') do nothing
returning query_uuid::text;

-- name: lock_queue
-- Wait until no other transaction counts the queue of this project.
select pg_advisory_xact_lock(hashtextextended('queue ' || %(project_uuid)s, 0));

-- name: accept_hit
-- Store a query whose rows are stored already: those of the newest ready query with its cache key.
insert into query (query_uuid, project_uuid, user_uuid, context, sql, row_limit, idempotency_key, request_hash,
                   fields, timezone, question, pivot, cache_key, status, phase, cache_hit, attempt, result_query_uuid,
                   result_attempt, columns, arrow_schema, pivot_details, row_count, byte_count, chunk_count, truncated,
                   warnings,
                   results_created_at, results_expire_at, ended_at)
select %(query_uuid)s, %(project_uuid)s, %(user_uuid)s, %(context)s, %(sql)s, %(row_limit)s, %(idempotency_key)s,
       %(request_hash)s, %(fields)s, %(timezone)s, %(question)s, %(pivot)s, %(cache_key)s, 'ready', 'finishing', true, 0,
       coalesce(result_query_uuid, query_uuid), coalesce(result_attempt, attempt),
       columns, arrow_schema, pivot_details, row_count, byte_count, chunk_count, truncated, warnings,
       results_created_at, results_expire_at, clock_timestamp()
from query
where cache_key = %(cache_key)s and status = 'ready' and objects_deleted_at is null
  and (chunk_count > 0 or row_count = 0)
  and results_expire_at > now() + make_interval(secs => %(margin_seconds)s)
order by results_created_at desc
limit 1
returning query_uuid::text;

-- name: accept_follower
-- Store a query that takes the result of one that is running. No row: that one has ended meanwhile.
with leader as (
  select query_uuid from query
  where cache_key = %(cache_key)s and is_leader and status in ('pending', 'running')
  for share)
insert into query (query_uuid, project_uuid, user_uuid, context, sql, row_limit, idempotency_key, request_hash,
                   fields, timezone, question, pivot, cache_key, leader_uuid, poll_ttl_seconds, polled_at)
select %(query_uuid)s, %(project_uuid)s, %(user_uuid)s, %(context)s, %(sql)s, %(row_limit)s, %(idempotency_key)s,
       %(request_hash)s, %(fields)s, %(timezone)s, %(question)s, %(pivot)s, %(cache_key)s, leader.query_uuid,
       %(poll_ttl_seconds)s, now()
from leader
returning query_uuid::text;

-- name: accept_ended
-- Store a query whose end was known when it was asked: an error, or a few rows.
insert into query (query_uuid, project_uuid, user_uuid, context, sql, row_limit, idempotency_key, request_hash,
                   fields, timezone, question, pivot, status, phase, ended_at, columns, arrow_schema, row_count, byte_count,
                   chunk_count, results_created_at, results_expire_at, error_name, error_message, error_status,
                   error_details)
select %(query_uuid)s, %(project_uuid)s, %(user_uuid)s, %(context)s, %(sql)s, %(row_limit)s, %(idempotency_key)s,
       %(request_hash)s, %(fields)s, %(timezone)s, %(question)s, %(pivot)s, %(status)s, 'finishing', clock_timestamp(),
       %(columns)s, %(arrow_schema)s, %(row_count)s, %(byte_count)s, %(chunk_count)s,
       case when %(status)s = 'ready' then clock_timestamp() end,
       now() + make_interval(secs => %(ttl_seconds)s),
       %(error_name)s, %(error_message)s, %(error_status)s, %(error_details)s
returning query_uuid::text;

-- name: add_chunk
-- The only chunk of a query that was stored with its end.
insert into chunk (query_uuid, attempt, chunk_index, object_key, first_row, row_count, byte_count, crc32, blocks)
values (%(query_uuid)s, 0, %(chunk_index)s, %(object_key)s, %(first_row)s, %(row_count)s, %(byte_count)s, %(crc32)s,
        %(blocks)s);

-- name: find_idempotent
-- The query accepted earlier under the same key.
select query_uuid::text, request_hash from query
where project_uuid = %(project_uuid)s and user_uuid = %(user_uuid)s and idempotency_key = %(idempotency_key)s;

-- name: load
-- One query without its SQL text, and of the query whose result it waits for, how far that is.
select q.query_uuid, q.project_uuid, q.user_uuid, q.context, '' as sql, q.row_limit, q.status, q.phase, q.attempt,
       q.actor_name, q.cancel_requested_at, q.warehouse_query_id, q.columns, q.arrow_schema, q.row_count,
       q.byte_count, q.chunk_count, q.error_name, q.error_message, q.error_status, q.error_details, q.warnings,
       q.created_at, q.claimed_at, q.executing_at, q.fetching_at, q.finishing_at, q.ended_at, q.results_expire_at,
       q.result_query_uuid, q.result_attempt, q.cache_hit, q.results_created_at, q.truncated, q.poll_ttl_seconds,
       q.leader_uuid, q.objects_deleted_at, q.fields, q.timezone, q.pivot, q.selection,
       q.pivot_details,
       case when q.status = 'pending' and l.status = 'running'
            then to_jsonb(l) - array['sql', 'arrow_schema', 'fields', 'question', 'pivot', 'pivot_details'] end as leader,
       case when q.status = 'pending' and l.status = 'running' then l.arrow_schema end as leader_schema
from query q left join query l on l.query_uuid = q.leader_uuid
where q.query_uuid = %(query_uuid)s;

-- name: load_question
-- What one query asked, as SQL and of the models, and what is done with its rows.
select question, pivot, sql, cache_key from query where query_uuid = %(query_uuid)s;

-- name: load_many
-- As `load`, for many at once.
select q.query_uuid, q.project_uuid, q.user_uuid, q.context, '' as sql, q.row_limit, q.status, q.phase, q.attempt,
       q.actor_name, q.cancel_requested_at, q.warehouse_query_id, q.columns, q.arrow_schema, q.row_count,
       q.byte_count, q.chunk_count, q.error_name, q.error_message, q.error_status, q.error_details, q.warnings,
       q.created_at, q.claimed_at, q.executing_at, q.fetching_at, q.finishing_at, q.ended_at, q.results_expire_at,
       q.result_query_uuid, q.result_attempt, q.cache_hit, q.results_created_at, q.truncated, q.poll_ttl_seconds,
       q.leader_uuid, q.objects_deleted_at, q.fields, q.timezone, q.pivot, q.selection,
       q.pivot_details,
       case when q.status = 'pending' and l.status = 'running'
            then to_jsonb(l) - array['sql', 'arrow_schema', 'fields', 'question', 'pivot', 'pivot_details'] end as leader,
       case when q.status = 'pending' and l.status = 'running' then l.arrow_schema end as leader_schema
from query q left join query l on l.query_uuid = q.leader_uuid
where q.query_uuid = any(%(query_uuids)s::uuid[]);

-- name: touch
-- Somebody polled a query that is cancelled when nobody does.
update query set polled_at = now() where query_uuid = %(query_uuid)s and status in ('pending', 'running');

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
-- How many waiting queries go before this one, plus one, if nothing new arrives: turns by project and user, as
-- `queryfleet.status.admission` gives them, limits left aside.
with busy as (
  select project_uuid, user_uuid, count(*) as n from query where status = 'running' group by project_uuid, user_uuid),
by_user as (
  select q.query_uuid, q.project_uuid, q.created_at, p.definition,
         coalesce(b.n, 0) + row_number() over (
           partition by q.project_uuid, q.user_uuid order by q.created_at, q.query_uuid) as user_turn
  from query q join project p using (project_uuid) left join busy b using (project_uuid, user_uuid)
  where q.status = 'pending' and q.leader_uuid is null),
line as (
  select query_uuid, created_at, user_turn,
         (coalesce((select sum(n) from busy b where b.project_uuid = u.project_uuid), 0)
          + row_number() over (partition by project_uuid order by user_turn, created_at, query_uuid))
         / coalesce((definition #>> '{limits,weight}')::float8, 1) as turn
  from by_user u)
select count(*) + 1 as position from line, (select * from line where query_uuid = %(query_uuid)s) mine
where (line.turn, line.user_turn, line.created_at, line.query_uuid)
      < (mine.turn, mine.user_turn, mine.created_at, mine.query_uuid)
having exists (select from line where query_uuid = %(query_uuid)s);

-- name: waiting
-- The queries that could run next: of each user the oldest few.
select query_uuid::text, project_uuid::text, user_uuid::text, created_at from (
  select query_uuid, project_uuid, user_uuid, created_at,
         row_number() over (partition by project_uuid, user_uuid order by created_at, query_uuid) as place
  from query where status = 'pending' and leader_uuid is null) line
where place <= %(per_user)s;

-- name: running
-- Whose queries run now.
select project_uuid::text, user_uuid::text from query where status = 'running';

-- name: claim
-- Give one pending query to an actor, under a new attempt, which learns what the latest one to reach the warehouse left.
update query set
  resume_query_id = coalesce(warehouse_query_id, resume_query_id),
  resume_attempt = case when warehouse_query_id is null then resume_attempt else attempt end,
  resume_schema = case when warehouse_query_id is null then resume_schema else arrow_schema end,
  status = 'running', phase = 'connecting', attempt = attempt + 1, actor_name = %(actor_name)s,
  lease_until = now() + make_interval(secs => %(lease_seconds)s),
  claimed_at = clock_timestamp(), executing_at = null, fetching_at = null, finishing_at = null,
  warehouse_query_id = null, columns = null, arrow_schema = null, pivot_details = null, truncated = false,
  row_count = 0, byte_count = 0, chunk_count = 0
where query_uuid = %(query_uuid)s and status = 'pending' and leader_uuid is null
returning query.*;

-- name: renew
-- Keep a lease. No row: the attempt is not the current one any more.
update query set lease_until = now() + make_interval(secs => %(lease_seconds)s)
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: record_executing
-- The warehouse has the statement, under this id of its own. A late note moves no phase back. With another id than an
-- earlier attempt's, what that one left is of no use.
update query set
  resume_query_id = case when %(warehouse_query_id)s::text = resume_query_id then resume_query_id end,
  resume_attempt = case when %(warehouse_query_id)s::text = resume_query_id then resume_attempt end,
  first_attempt = case when %(warehouse_query_id)s::text = resume_query_id then first_attempt end,
  phase = case when phase = 'connecting' then 'executing' else phase end,
  executing_at = coalesce(executing_at, clock_timestamp()),
  warehouse_query_id = coalesce(%(warehouse_query_id)s, warehouse_query_id)
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: keep_chunks
-- Make the chunks of an earlier attempt the first ones of this one: all of them, once.
with kept as (
  select count(*) as n, coalesce(sum(row_count), 0) as rows, coalesce(sum(byte_count), 0) as bytes from chunk
  where query_uuid = %(query_uuid)s and attempt = %(from_attempt)s),
owner as (
  update query set row_count = kept.rows, byte_count = kept.bytes, chunk_count = kept.n,
    first_attempt = coalesce(first_attempt, resume_attempt)
  from kept
  where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
    and cancel_requested_at is null
    and resume_attempt = %(from_attempt)s and chunk_count = 0 and kept.n = %(chunk_count)s
  returning query_uuid)
update chunk set attempt = %(attempt)s from owner
where chunk.query_uuid = owner.query_uuid and chunk.attempt = %(from_attempt)s
returning 1 as kept;

-- name: chunks_kept
-- Whether they are that already.
select 1 as kept from query
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running' and cancel_requested_at is null
  and resume_attempt = %(from_attempt)s and first_attempt is not null and chunk_count >= %(chunk_count)s;

-- name: record_fetching
-- The warehouse has told the columns; rows follow. A late note moves no phase back.
update query set phase = case when phase in ('connecting', 'executing') then 'fetching' else phase end,
  fetching_at = coalesce(fetching_at, clock_timestamp()),
  columns = %(columns)s, arrow_schema = %(arrow_schema)s, pivot_details = %(pivot_details)s
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning cancel_requested_at is not null as cancel_requested;

-- name: record_finishing
-- The last row has arrived.
update query set phase = 'finishing', finishing_at = coalesce(finishing_at, clock_timestamp())
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
  results_created_at = clock_timestamp(),
  results_expire_at = now() + make_interval(secs => %(ttl_seconds)s),
  truncated = %(truncated)s, warnings = warnings || %(warnings)s::jsonb
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
  and cancel_requested_at is null
  and row_count = %(row_count)s and byte_count = %(byte_count)s and chunk_count = %(chunk_count)s
returning 1 as done;

-- name: finished
-- Whether this very end is recorded already.
select 1 as done from query
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'ready'
  and row_count = %(row_count)s and byte_count = %(byte_count)s and chunk_count = %(chunk_count)s;

-- name: finish_unstored
-- The result is complete and stays in the warehouse: nothing was committed.
update query set status = 'ready', phase = 'finishing', ended_at = clock_timestamp(), lease_until = null,
  finishing_at = coalesce(finishing_at, clock_timestamp()),
  results_created_at = clock_timestamp(),
  results_expire_at = now() + make_interval(secs => %(ttl_seconds)s),
  truncated = %(truncated)s, warnings = warnings || %(warnings)s::jsonb,
  row_count = %(row_count)s
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
  and cancel_requested_at is null
  and row_count = 0 and byte_count = 0 and chunk_count = 0
returning 1 as done;

-- name: settle_followers
-- Give those who waited for an ended query what it has: its rows or its error.
update query f set status = l.status, phase = l.phase, ended_at = clock_timestamp(), leader_uuid = null,
  attempt = l.attempt, warehouse_query_id = l.warehouse_query_id,
  result_query_uuid = coalesce(l.result_query_uuid, l.query_uuid),
  result_attempt = coalesce(l.result_attempt, l.attempt),
  columns = l.columns, arrow_schema = l.arrow_schema, pivot_details = l.pivot_details,
  row_count = l.row_count, byte_count = l.byte_count, chunk_count = l.chunk_count,
  truncated = l.truncated, warnings = l.warnings,
  results_created_at = l.results_created_at, results_expire_at = l.results_expire_at,
  error_name = l.error_name, error_message = l.error_message, error_status = l.error_status,
  error_details = l.error_details
from query l
where f.leader_uuid = l.query_uuid and f.status = 'pending' and l.status in ('ready', 'error')
  and (%(query_uuid)s::uuid is null or l.query_uuid = %(query_uuid)s);

-- name: promote_follower
-- Let the oldest of those who waited for a cancelled query run in its place, and the others wait for that one: one
-- for each cache key, whomever they waited for, since no two queries may lead the same. They are locked before one is
-- chosen, so that the chosen one cannot be cancelled before the others wait for it.
with orphans as (
  select f.query_uuid, f.cache_key, f.created_at from query f join query l on l.query_uuid = f.leader_uuid
  where f.status = 'pending' and l.status = 'cancelled'
    and (%(query_uuid)s::uuid is null or l.query_uuid = %(query_uuid)s)
  order by f.query_uuid for update of f),
heirs as (
  select distinct on (cache_key) query_uuid, cache_key from orphans order by cache_key, created_at, query_uuid)
update query f set
  leader_uuid = case when f.query_uuid = heirs.query_uuid then null else heirs.query_uuid end,
  is_leader = f.query_uuid = heirs.query_uuid and not exists (
    select from query x where x.cache_key = f.cache_key and x.is_leader and x.status in ('pending', 'running')),
  queued_at = clock_timestamp(), status = 'pending'
from orphans join heirs using (cache_key)
where f.query_uuid = orphans.query_uuid;

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
  phase = case when cancel_requested_at is null and attempt < %(attempts_max)s then 'queued' else phase end,
  actor_name = null, lease_until = null, queued_at = clock_timestamp(),
  row_count = 0, byte_count = 0, chunk_count = 0,
  ended_at = case when cancel_requested_at is not null or attempt >= %(attempts_max)s then clock_timestamp() end,
  error_name = case when cancel_requested_at is null and attempt >= %(attempts_max)s then %(error_name)s end,
  error_message = case when cancel_requested_at is null and attempt >= %(attempts_max)s then %(error_message)s end,
  error_status = case when cancel_requested_at is null and attempt >= %(attempts_max)s then 500 end
where query_uuid = %(query_uuid)s and attempt = %(attempt)s and status = 'running'
returning status;

-- name: queue_overdue
-- Queries that have waited longer than their project allows, since they came into the queue or came back into it.
select q.query_uuid::text, coalesce((p.definition #>> '{limits,queue_seconds}')::float8, %(queue_seconds)s) as seconds
from query q join project p using (project_uuid)
where q.status = 'pending' and q.leader_uuid is null
  and q.queued_at < now() - make_interval(
    secs => coalesce((p.definition #>> '{limits,queue_seconds}')::float8, %(queue_seconds)s));

-- name: abandoned
-- Queries that asked to be cancelled when nobody polls, and nobody does.
select query_uuid::text, poll_ttl_seconds from query
where status in ('pending', 'running') and cancel_requested_at is null and poll_ttl_seconds is not null
  and polled_at < now() - make_interval(secs => poll_ttl_seconds);

-- name: expired_results
-- Attempts whose rows nobody can read any more.
select query_uuid::text, attempt from query
where status = 'ready' and objects_deleted_at is null and results_expire_at < %(now)s
order by results_expire_at limit %(count)s;

-- name: mark_deleted
-- The objects of a query's result are gone.
update query set objects_deleted_at = clock_timestamp() where query_uuid = %(query_uuid)s;

-- name: known_attempts
-- Of these queries, those that are known, with the attempts whose objects must stay, first and last: null when none must.
select query_uuid::text,
       case when objects_deleted_at is null
                 and (status in ('pending', 'running') or (status = 'ready' and result_query_uuid is null))
            then attempt end as live_attempt,
       coalesce(first_attempt, resume_attempt, attempt) as first_attempt
from query where query_uuid = any(%(query_uuids)s::uuid[]);

-- name: forget_history
-- Drop queries that ended long ago and whose rows are gone.
delete from query where query_uuid in (
  select query_uuid from query
  where ended_at < %(before)s and (status <> 'ready' or objects_deleted_at is not null
                                   or results_expire_at < %(before)s)
  order by ended_at limit %(count)s)
returning query_uuid::text;

-- name: history
-- What one user, or everybody in a project, has asked, newest first.
select query_uuid::text, user_uuid::text, context, left(sql, %(sql_characters)s) as sql,
       question #>> '{metricQuery,exploreName}' as explore_name, status, phase, attempt, warehouse_query_id,
       cache_hit, truncated, row_count, byte_count, error_name, error_message, created_at, claimed_at, executing_at, fetching_at, finishing_at, ended_at, results_expire_at
from query
where project_uuid = %(project_uuid)s
  and (%(user_uuid)s::uuid is null or user_uuid = %(user_uuid)s)
  and (%(statuses)s::text[] is null or status = any(%(statuses)s))
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (%(until)s::timestamptz is null or created_at < %(until)s)
order by created_at desc, query_uuid
limit %(count)s offset %(skip)s;

-- name: history_count
-- How many queries `history` could give in all.
select count(*) as n from query
where project_uuid = %(project_uuid)s
  and (%(user_uuid)s::uuid is null or user_uuid = %(user_uuid)s)
  and (%(statuses)s::text[] is null or status = any(%(statuses)s))
  and (%(since)s::timestamptz is null or created_at >= %(since)s)
  and (%(until)s::timestamptz is null or created_at < %(until)s);

-- name: queue_depth
-- How many queries wait for an actor and run, and how long the first of the former has waited.
select count(*) filter (where status = 'pending' and leader_uuid is null) as pending,
       count(*) filter (where status = 'running') as running,
       coalesce(extract(epoch from clock_timestamp() - min(queued_at) filter (
         where status = 'pending' and leader_uuid is null)), 0)::float8 as oldest_seconds
from query where status in ('pending', 'running');

-- name: put_project
-- Store a project, or its newer definition; no models leave those that are there.
insert into project (project_uuid, name, definition, models)
values (%(project_uuid)s, %(name)s, %(definition)s, %(models)s)
on conflict (project_uuid) do update set name = excluded.name, definition = excluded.definition, updated_at = now(),
  models = coalesce(excluded.models, project.models), version = project.version + 1
returning version;

-- name: load_project
-- One project's definition.
select definition from project where project_uuid = %(project_uuid)s;

-- name: project_version
-- Whether a copy of a project is the newest.
select version from project where project_uuid = %(project_uuid)s;

-- name: load_stored_project
-- One project with its models.
select version, name, definition, models from project where project_uuid = %(project_uuid)s;

-- name: projects
-- All projects.
select project_uuid::text, name from project order by created_at, project_uuid;

-- name: put_token
-- Store a token by its hash, or keep the one that is there.
insert into access_token (token_uuid, token_hash, user_uuid, name, email, expires_at)
values (%(token_uuid)s, %(token_hash)s, %(user_uuid)s, %(name)s, %(email)s, %(expires_at)s)
on conflict (token_hash) do update set name = excluded.name, email = excluded.email, expires_at = excluded.expires_at,
  revoked_at = null
returning token_uuid::text;

-- name: put_role
-- Let a token into a project, with its user's attributes there.
insert into access_role (token_uuid, project_uuid, role, attributes)
values (%(token_uuid)s, %(project_uuid)s, %(role)s, %(attributes)s)
on conflict (token_uuid, project_uuid) do update set role = excluded.role, attributes = excluded.attributes;

-- name: load_token
-- Who a token is and where it may go; no row when it is unknown, expired or revoked.
select t.token_uuid::text, t.user_uuid::text, t.name, t.email,
       coalesce(jsonb_object_agg(r.project_uuid, r.role) filter (where r.project_uuid is not null), '{}') as roles,
       coalesce(jsonb_object_agg(r.project_uuid, r.attributes) filter (where r.project_uuid is not null), '{}')
         as attributes
from access_token t left join access_role r using (token_uuid)
where t.token_hash = %(token_hash)s and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())
group by t.token_uuid, t.user_uuid, t.name, t.email;

-- name: project_tokens
-- The tokens that have a role in a project, also those that have expired; oldest first.
select t.token_uuid::text, t.user_uuid::text, t.name, t.email, r.role, r.attributes, t.created_at, t.expires_at
from access_token t join access_role r using (token_uuid)
where r.project_uuid = %(project_uuid)s and t.revoked_at is null
order by t.created_at, t.token_uuid;

-- name: remove_token
-- Take a token's role in a project away; one without any other role ends.
with gone as (
  delete from access_role where token_uuid = %(token_uuid)s and project_uuid = %(project_uuid)s
  returning token_uuid),
ended as (
  update access_token set revoked_at = now()
  where token_uuid in (select token_uuid from gone) and revoked_at is null
    and not exists (select from access_role where token_uuid = %(token_uuid)s and project_uuid <> %(project_uuid)s))
select 1 as done from gone;

-- name: ping
-- Whether the database answers and has our schema.
select version_num from alembic_version;
