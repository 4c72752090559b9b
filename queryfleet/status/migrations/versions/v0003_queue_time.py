"""Since when a query waits for an actor: a query that comes back into the queue has not waited while it ran."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the moment, which an older release leaves at the time of acceptance."""
    op.execute("alter table query add column queued_at timestamptz not null default now()")
    op.execute("update query set queued_at = created_at where status in ('pending', 'running')")


def downgrade() -> None:
    """Steps go forward only."""
    raise NotImplementedError("The schema has no way back; restore a backup instead.")
