"""Results that several queries share, deadlines by polling, truncation, and what the janitor has done."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_STATEMENTS = """
alter table query
  add column cache_key bytea,                   -- equal for queries that would give the same rows
  add column is_leader boolean not null default false,  -- runs, and others with its cache key may join it
  add column leader_uuid uuid references query on delete set null,  -- waits for that query's result
  add column result_query_uuid uuid,            -- whose chunks hold the rows; null: its own
  add column result_attempt integer,
  add column cache_hit boolean not null default false,
  add column results_created_at timestamptz,
  add column truncated boolean not null default false,
  add column poll_ttl_seconds real,             -- cancelled when nobody polls for so long
  add column polled_at timestamptz,
  add column objects_deleted_at timestamptz;    -- the janitor removed the rows

create unique index query_leader on query (cache_key)
  where is_leader and status in ('pending', 'running');
create index query_cache on query (cache_key, ended_at desc) where status = 'ready';
create index query_followers on query (leader_uuid) where leader_uuid is not null;
create index query_expiry on query (results_expire_at) where status = 'ready' and objects_deleted_at is null;
create index query_history on query (project_uuid, created_at desc, query_uuid);
"""


def upgrade() -> None:
    """Add the columns and their indexes."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
