"""Queries whose rows are chosen from a stored result, so that the warehouse is not asked."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which an older release leaves empty."""
    op.execute("alter table query add column selection json")  # which rows of which result; null: the warehouse's


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
