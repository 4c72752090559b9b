"""Projects, tokens, queries and the chunks of their results."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_STATEMENTS = """
create table project (
  project_uuid uuid primary key,
  name text not null,
  definition jsonb not null,                    -- the project folder as loaded; secrets only as references
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table access_token (
  token_uuid uuid primary key,
  token_hash bytea not null unique,             -- SHA-256; the token itself is kept nowhere
  user_uuid uuid not null,
  name text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);

create table access_role (
  token_uuid uuid not null references access_token on delete cascade,
  project_uuid uuid not null references project on delete cascade,
  role text not null check (role in ('viewer', 'editor', 'admin')),
  primary key (token_uuid, project_uuid)
);

create table query (
  query_uuid uuid primary key,
  project_uuid uuid not null references project on delete cascade,
  user_uuid uuid not null,
  context text not null,
  sql text not null,
  row_limit bigint,
  idempotency_key text,
  request_hash bytea not null,

  status text not null default 'pending'
    check (status in ('pending', 'running', 'ready', 'error', 'cancelled')),
  phase text not null default 'queued',
  attempt integer not null default 0,
  actor_name text,
  lease_until timestamptz,
  cancel_requested_at timestamptz,
  warehouse_query_id text,

  columns jsonb,                                -- [{"reference", "type"}] in order, once known
  arrow_schema bytea,                           -- the schema as an Arrow IPC message
  row_count bigint not null default 0,          -- committed so far
  byte_count bigint not null default 0,
  chunk_count integer not null default 0,

  error_name text,
  error_message text,
  error_status integer,
  error_details jsonb,
  warnings jsonb not null default '[]',

  created_at timestamptz not null default now(),
  claimed_at timestamptz,
  executing_at timestamptz,
  fetching_at timestamptz,
  finishing_at timestamptz,
  ended_at timestamptz,
  results_expire_at timestamptz
) with (fillfactor = 70);

create unique index query_idempotency on query (project_uuid, user_uuid, idempotency_key)
  where idempotency_key is not null;
create index query_live on query (status, created_at) where status in ('pending', 'running');
create index query_created on query (created_at);

create table chunk (
  query_uuid uuid not null references query on delete cascade,
  attempt integer not null,
  chunk_index integer not null,
  object_key text not null,
  first_row bigint not null,
  row_count integer not null,
  byte_count bigint not null,
  crc32 bigint not null,
  blocks bytea not null,
  primary key (query_uuid, attempt, chunk_index)
);
create unique index chunk_rows on chunk (query_uuid, attempt, first_row);

-- Two channels: `queryfleet_query` tells everybody who waits that a query changed, `queryfleet_work` tells the
-- status actor that there is something to do.
create function query_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('queryfleet_query', new.query_uuid::text);
  if new.status = 'pending' or new.cancel_requested_at is distinct from old.cancel_requested_at then
    perform pg_notify('queryfleet_work', new.query_uuid::text);
  end if;
  return null;
end $$;

create function query_added() returns trigger language plpgsql as $$
begin
  perform pg_notify('queryfleet_work', new.query_uuid::text);
  return null;
end $$;

create trigger query_changed after update of status, phase, row_count, cancel_requested_at on query
  for each row execute function query_changed();
create trigger query_added after insert on query
  for each row execute function query_added();
"""


def upgrade() -> None:
    """Create everything."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
