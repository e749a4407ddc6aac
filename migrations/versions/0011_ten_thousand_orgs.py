"""ten thousand orgs: what each version of the catalog has changed, and refresh tokens known without being opened

Digests are filled in when the next org is registered: only then is there a key.
"""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('catalog_changes',
    sa.Column('version', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('version')
    )
    op.add_column('credentials', sa.Column('token_digest', sa.Text(), nullable=True))
    op.add_column('credentials', sa.Column('digest_fencing', sa.BigInteger(), nullable=True))
    op.create_index('ix_credentials_given', 'credentials', ['given'])
    op.create_index('ix_credentials_token_digest', 'credentials', ['token_digest'])
    op.add_column('enrolments', sa.Column('given', sa.Text(), nullable=True))
    op.create_index('ix_enrolments_given', 'enrolments', ['given'])
