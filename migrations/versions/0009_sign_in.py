"""people who sign in: their clients, requests under way, sessions, tokens, groups by claim"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('signin_clients',
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('redirect_uris', sa.Text(), nullable=False),
    sa.Column('metadata', sa.Text(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('fresh_until', sa.BigInteger(), nullable=True),
    sa.Column('used_at', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('client_id')
    )
    op.create_index('ix_signin_clients_used_at', 'signin_clients', ['used_at'])
    op.create_table('signin_requests',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('purpose', sa.Text(), nullable=True),
    sa.Column('state_digest', sa.LargeBinary(), nullable=False),
    sa.Column('browser_digest', sa.LargeBinary(), nullable=False),
    sa.Column('stage', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=True),
    sa.Column('redirect_uri', sa.Text(), nullable=True),
    sa.Column('has_redirect_uri', sa.Boolean(), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('resource', sa.Text(), nullable=True),
    sa.Column('code_challenge', sa.Text(), nullable=True),
    sa.Column('principal', sa.Text(), nullable=True),
    sa.Column('auth_time', sa.BigInteger(), nullable=True),
    sa.Column('sealed', sa.LargeBinary(), nullable=False),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('state_digest')
    )
    op.create_index('ix_signin_requests_browser_digest', 'signin_requests', ['browser_digest'])
    op.create_index('ix_signin_requests_expires_at', 'signin_requests', ['expires_at'])
    op.create_table('signin_sessions',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.Column('issuer', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('person', sa.Text(), nullable=False),
    sa.Column('client_id', sa.Text(), nullable=True),
    sa.Column('client_name', sa.Text(), nullable=True),
    sa.Column('redirect_uri', sa.Text(), nullable=True),
    sa.Column('resource', sa.Text(), nullable=True),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('cookie_digest', sa.LargeBinary(), nullable=True),
    sa.Column('auth_time', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('redeemed_at', sa.BigInteger(), nullable=True),
    sa.Column('used_at', sa.BigInteger(), nullable=True),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('provider_token', sa.LargeBinary(), nullable=True),
    sa.Column('fencing', sa.BigInteger(), nullable=False),
    sa.Column('ended_at', sa.BigInteger(), nullable=True),
    sa.Column('ended_why', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['principal'], ['principals.name'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id'),
    sa.UniqueConstraint('cookie_digest')
    )
    op.create_index('ix_signin_sessions_principal', 'signin_sessions', ['principal'])
    op.create_index('ix_signin_sessions_expires_at', 'signin_sessions', ['expires_at'])
    op.create_table('signin_tokens',
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('scopes', sa.Text(), nullable=False),
    sa.Column('code_challenge', sa.Text(), nullable=True),
    sa.Column('redirect_uri', sa.Text(), nullable=True),
    sa.Column('created_at', sa.BigInteger(), nullable=False),
    sa.Column('expires_at', sa.BigInteger(), nullable=False),
    sa.Column('used_at', sa.BigInteger(), nullable=True),
    sa.Column('used_by', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['signin_sessions.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('digest')
    )
    op.create_index('ix_signin_tokens_session_id', 'signin_tokens', ['session_id'])
    op.create_index('ix_signin_tokens_expires_at', 'signin_tokens', ['expires_at'])
    op.create_table('claim_members',
    sa.Column('group', sa.Text(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['group'], ['groups.name'], ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['principal'], ['principals.name'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('group', 'principal')
    )
    op.create_index('ix_claim_members_principal', 'claim_members', ['principal'])
    op.add_column('approvals', sa.Column('session_id', sa.Text(), nullable=True))
