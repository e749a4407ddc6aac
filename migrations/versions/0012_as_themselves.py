"""as themselves: connections of people to orgs, the links by which they are made, and logins that wait to be revoked

Only adds. Whoever lets an org be used with other logins than the shared one raises the store's oldest reader.
"""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('policies', sa.Column('identity', sa.Text(), server_default='shared', nullable=False))
    op.add_column('policies', sa.Column('username_from', sa.Text(), nullable=True))
    op.add_column('processes', sa.Column('schema', sa.Text(), nullable=True))
    op.add_column('kept_values', sa.Column('login_id', sa.Text(), nullable=True))
    op.create_table('connections',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('row_id', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=True),
    sa.Column('username', sa.Text(), nullable=False),
    sa.Column('user_time_zone', sa.Text(), nullable=True),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('problem', sa.Text(), nullable=True),
    sa.Column('held', sa.Boolean(), server_default=sa.false(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('refreshed_at', sa.BigInteger(), nullable=True),
    sa.Column('confirmed_at', sa.BigInteger(), nullable=True),
    sa.Column('confirmed_by', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['row_id'], ['orgs.row_id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_connections_principal', 'connections', ['principal'])
    op.create_index('ux_connections_holder', 'connections', ['row_id', 'principal'], unique=True)
    op.create_index('ux_connections_user', 'connections', ['row_id', 'user_id'], unique=True)
    op.create_table('connection_credentials',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('refresh_token', sa.LargeBinary(), nullable=True),
    sa.Column('audience', sa.Text(), nullable=True),
    sa.Column('fencing', sa.BigInteger(), nullable=False),
    sa.Column('given', sa.Text(), nullable=False),
    sa.Column('token_digest', sa.Text(), nullable=True),
    sa.Column('digest_fencing', sa.BigInteger(), nullable=True),
    sa.ForeignKeyConstraint(['id'], ['connections.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_connection_credentials_given', 'connection_credentials', ['given'])
    op.create_index('ix_connection_credentials_token_digest', 'connection_credentials', ['token_digest'])
    op.create_table('connection_access_tokens',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('token', sa.LargeBinary(), nullable=False),
    sa.Column('instance_url', sa.Text(), nullable=False),
    sa.Column('fencing', sa.BigInteger(), nullable=False),
    sa.Column('obtained_at', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['id'], ['connections.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_table('username_map',
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('username', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('org_id', 'principal')
    )
    op.create_index('ux_username_map_username', 'username_map', ['org_id', 'username'], unique=True)
    op.create_table('connect_links',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('nonce_digest', sa.LargeBinary(), nullable=False),
    sa.Column('row_id', sa.Text(), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('org_id', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('replace', sa.Boolean(), nullable=False),
    sa.Column('stage', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('proof', sa.Text(), nullable=True),
    sa.Column('browser_digest', sa.LargeBinary(), nullable=True),
    sa.Column('state_digest', sa.LargeBinary(), nullable=True),
    sa.Column('sealed', sa.LargeBinary(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('nonce_digest'),
    sa.UniqueConstraint('state_digest')
    )
    op.create_index('ix_connect_links_expires_at', 'connect_links', ['expires_at'])
    op.create_index('ix_connect_links_holder', 'connect_links', ['row_id', 'principal'])
    op.create_table('revocations',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('login_url', sa.Text(), nullable=False),
    sa.Column('instance_url', sa.Text(), nullable=False),
    sa.Column('trusted_hosts', sa.Text(), nullable=False),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('next_at', sa.BigInteger(), nullable=False),
    sa.Column('tries', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_revocations_next_at', 'revocations', ['next_at'])
