"""what orgs say of their objects, so that it need not be asked at every turn"""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('describes',
    sa.Column('row_id', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('object', sa.Text(), nullable=False),
    sa.Column('api_version', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('last_modified', sa.Text(), nullable=True),
    sa.Column('fetched_at', sa.BigInteger(), nullable=False),
    sa.Column('used_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['row_id'], ['orgs.row_id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('row_id', 'user_id', 'object', 'api_version')
    )
    op.create_index('ix_describes_used_at', 'describes', ['row_id', 'used_at'])
