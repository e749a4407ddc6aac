"""what working against Salesforce itself has taught: chosen audiences, one policy for each org id, orgs that move,
a yes that only people give

Each policy is filled in, and its changes put on record, when the store is opened.
"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        'credentials', sa.Column('explicit_audience', sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table('policies',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('policy', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('org_id')
    )
    op.add_column('orgs', sa.Column('move', sa.Text(), nullable=True))
    op.add_column('approvals', sa.Column('entry_id', sa.Text(), nullable=True))
    op.add_column('approvals', sa.Column('client', sa.Text(), nullable=True))
    op.create_table('one_time_codes',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
