"""Files of results that are made on demand, and the key that links to them are signed with."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_STATEMENTS = """
create table export_job (
  job_uuid uuid primary key,
  project_uuid uuid not null references project on delete cascade,
  user_uuid uuid not null,
  query_uuid uuid not null references query on delete cascade,  -- whose rows are wanted
  digest text not null,                         -- equal for files with the same bytes of the same query
  options json not null,
  file_name text not null,                      -- what a browser calls the file
  object_key text not null,                     -- beside the chunks, so that it goes with them
  row_count bigint not null,                    -- of the file

  status text not null default 'scheduled' check (status in ('scheduled', 'started', 'completed', 'error')),
  attempt integer not null default 0,
  lease_until timestamptz,
  rows_done bigint not null default 0,
  byte_count bigint,                            -- of the file, once completed
  error_name text,
  error_message text,
  error_status integer,

  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz
);

create unique index export_job_same on export_job (query_uuid, digest, file_name) where status <> 'error';
create index export_job_live on export_job (status, created_at) where status in ('scheduled', 'started');
create index export_job_object on export_job (object_key) where status = 'completed';

create table signing_key (
  purpose text primary key,
  key bytea not null,
  created_at timestamptz not null default now()
);
insert into signing_key (purpose, key)
values ('files', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- Whoever waits for a job watches its uuid, as others watch that of a query.
create function export_job_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('queryfleet_query', new.job_uuid::text);
  if new.status = 'scheduled' then
    perform pg_notify('queryfleet_work', 'export');
  end if;
  return null;
end $$;

create trigger export_job_changed after insert or update of status on export_job
  for each row execute function export_job_changed();
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
