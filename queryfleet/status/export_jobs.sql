-- Every statement about files that are made on demand. `-- name:` begins one; the comment below it says what it is for.

-- name: request
-- A new job, completed at once where the same file is there already. No row: there is such a job.
insert into export_job (job_uuid, project_uuid, user_uuid, query_uuid, digest, options, file_name, object_key,
                        row_count, status, byte_count, rows_done, ended_at)
select %(job_uuid)s, %(project_uuid)s, %(user_uuid)s, %(query_uuid)s, %(digest)s, %(options)s, %(file_name)s,
       %(object_key)s, %(row_count)s, case when made.byte_count is null then 'scheduled' else 'completed' end,
       made.byte_count, case when made.byte_count is null then 0 else %(row_count)s end,
       case when made.byte_count is not null then clock_timestamp() end
from (select max(byte_count) as byte_count from export_job
      where object_key = %(object_key)s and status = 'completed') made
on conflict (query_uuid, digest, file_name) where status <> 'error' do nothing
returning *;

-- name: same
-- The job that a new one would repeat.
select * from export_job
where query_uuid = %(query_uuid)s and digest = %(digest)s and file_name = %(file_name)s and status <> 'error';

-- name: load
-- One job.
select * from export_job where job_uuid = %(job_uuid)s;

-- name: claim
-- The oldest job that nobody works on, for whoever asks: new, or of somebody who has not been heard of in time.
update export_job set status = 'started', attempt = attempt + 1, rows_done = 0,
  started_at = coalesce(started_at, clock_timestamp()), lease_until = now() + make_interval(secs => %(lease_seconds)s)
where job_uuid = (
  select job_uuid from export_job
  where (status = 'scheduled' or (status = 'started' and lease_until < now())) and attempt < %(attempts_max)s
  order by created_at, job_uuid limit 1 for update skip locked)
returning *;

-- name: renew
-- Keep a lease, and tell how far the file is. No row: somebody else has the job.
update export_job set rows_done = %(rows_done)s, lease_until = now() + make_interval(secs => %(lease_seconds)s)
where job_uuid = %(job_uuid)s and attempt = %(attempt)s and status = 'started'
returning 1 as done;

-- name: complete
-- The file is durable.
update export_job set status = 'completed', byte_count = %(byte_count)s, rows_done = row_count, lease_until = null,
  ended_at = clock_timestamp()
where job_uuid = %(job_uuid)s and attempt = %(attempt)s and status = 'started'
returning 1 as done;

-- name: fail
-- There will be no file.
update export_job set status = 'error', error_name = %(error_name)s, error_message = %(error_message)s,
  error_status = %(error_status)s, lease_until = null, ended_at = clock_timestamp()
where job_uuid = %(job_uuid)s and attempt = %(attempt)s and status = 'started'
returning 1 as done;

-- name: give_up
-- End jobs whose last allowed attempt was lost.
update export_job set status = 'error', error_name = 'UnexpectedServerError',
  error_message = 'The file was begun ' || attempt || ' times and lost each time.', error_status = 500,
  lease_until = null, ended_at = clock_timestamp()
where status = 'started' and lease_until < now() and attempt >= %(attempts_max)s
returning job_uuid::text;

-- name: signing_key
-- What links are signed with.
select key from signing_key where purpose = 'files';
