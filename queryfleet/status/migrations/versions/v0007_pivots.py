"""Queries whose rows become a pivot: how, and what a page says about it."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# As text, not taken apart: the order of members is kept.
_STATEMENTS = """
alter table query
  add column pivot json,                        -- what is done with the rows; null: nothing
  add column pivot_details json;                -- what a page says of it; null until the columns are known
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(_STATEMENTS)


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
