"""every way in, and refreshes that are known to have been sent"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('store', sa.Column('copied_at', sa.BigInteger(), nullable=True))
    op.add_column('orgs', sa.Column('auth', sa.Text(), server_default='refresh-token', nullable=False))
    op.add_column('orgs', sa.Column('held', sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column('leases', sa.Column('fencing', sa.BigInteger(), server_default='0', nullable=False))
    op.add_column('leases', sa.Column('sent_at', sa.BigInteger(), nullable=True))
    op.add_column('credentials', sa.Column('private_key', sa.LargeBinary(), nullable=True))
    op.add_column('credentials', sa.Column('username', sa.Text(), nullable=True))
    op.add_column('credentials', sa.Column('audience', sa.Text(), nullable=True))
    with op.batch_alter_table('credentials', schema=None) as batch_op:
        batch_op.drop_column('kind')  # orgs.auth says it
