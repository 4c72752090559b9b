"""Saved content: charts, SQL charts and dashboards, with all their versions."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_STATEMENTS = """
create table content (
  content_uuid uuid primary key,
  project_uuid uuid not null references project on delete cascade,
  kind text not null check (kind in ('chart', 'sql_chart', 'dashboard')),
  slug text not null,
  name text not null,
  version integer not null default 1,           -- the newest
  file_digest text,                             -- of the file it was made from, as last loaded; null: no file made it
  created_at timestamptz not null default now(),
  unique (project_uuid, kind, slug)
);

create table content_version (
  version_uuid uuid primary key,
  content_uuid uuid not null references content on delete cascade,
  version integer not null,
  body json not null,                           -- as text, not taken apart: the order of members is kept
  name text not null,
  user_uuid uuid,                               -- who wrote it; null: it comes from a file
  created_at timestamptz not null default now(),
  unique (content_uuid, version)
);
"""


def upgrade() -> None:
    """Add the tables."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
