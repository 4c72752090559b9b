"""What a lost attempt leaves to the next one: a statement that runs on in the warehouse, and rows that are stored."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_STATEMENTS = """
alter table query
  add column resume_query_id text,              -- the warehouse's id of the statement of an earlier attempt
  add column resume_attempt integer,            -- that attempt, whose chunks may be kept
  add column resume_schema bytea,               -- of those chunks; null: there are none
  add column first_attempt integer;             -- the earliest whose objects are in the result; null: the current one
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
