"""Models of projects, attributes of users, and what is known of a question besides its SQL."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_STATEMENTS = """
alter table project
  add column version bigint not null default 1, -- grows with each change: tells whether a copy is the newest
  add column models bytea;                      -- the compiled catalog, compressed; null: none was stored

alter table access_token add column email text;
alter table access_role add column attributes jsonb not null default '{}';  -- of the user, in that project

-- As text, not taken apart: the order of members is kept.
alter table query
  add column fields json,                       -- descriptions of the columns by name; null: plain SQL
  add column timezone text,                     -- in which times are shown; null: as UTC
  add column question json;                     -- what was asked of the models
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
