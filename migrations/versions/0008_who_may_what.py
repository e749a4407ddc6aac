"""who may what: principals, groups, grants, API keys, and the calls that each used up in a day"""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('principals',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('roles', sa.Text(), nullable=False),
    sa.Column('limits', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('groups',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('claim', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('name')
    )
    op.create_table('group_members',
    sa.Column('group', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['group'], ['groups.name'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['principal'], ['principals.name'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('group', 'principal')
    )
    op.create_index('ix_group_members_principal', 'group_members', ['principal'])
    op.create_table('grants',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=True),
    sa.Column('group', sa.Text(), nullable=True),
    sa.Column('selector', sa.Text(), nullable=False),
    sa.Column('row_id', sa.Text(), nullable=True),
    sa.Column('permissions', sa.Text(), nullable=False),
    sa.Column('until', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.CheckConstraint('(principal IS NULL) <> ("group" IS NULL)', name='one_holder'),
    sa.ForeignKeyConstraint(['principal'], ['principals.name'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['group'], ['groups.name'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['row_id'], ['orgs.row_id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_grants_principal', 'grants', ['principal'])
    op.create_index('ix_grants_group', 'grants', ['group'])
    op.create_index('ix_grants_row_id', 'grants', ['row_id'])
    op.create_table('api_keys',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('until', sa.BigInteger(), nullable=True),
    sa.Column('last_used_at', sa.BigInteger(), nullable=True),
    sa.Column('revoked_at', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['principal'], ['principals.name'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('digest')
    )
    op.create_index('ix_api_keys_principal', 'api_keys', ['principal'])
    op.create_table('subjects',
    sa.Column('issuer', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['principal'], ['principals.name'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('issuer', 'subject')
    )
    op.create_index('ix_subjects_principal', 'subjects', ['principal'])
    op.create_table('api_usage',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('day', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('calls', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('org_id', 'principal', 'day')
    )
