"""checkpoints, and what the audit log is searched by"""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('store', sa.Column('signing_key', sa.LargeBinary(), nullable=True))
    op.create_table('audit_entries',
    sa.Column('sequence', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('entry_id', sa.Text(), nullable=False),
    sa.Column('outcome_sequence', sa.Integer(), nullable=True),
    sa.Column('time', sa.BigInteger(), nullable=False),
    sa.Column('principal', sa.Text(), nullable=True),
    sa.Column('org', sa.Text(), nullable=True),
    sa.Column('tool', sa.Text(), nullable=True),
    sa.Column('action', sa.Text(), nullable=True),
    sa.Column('object', sa.Text(), nullable=True),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('sequence'),
    sa.UniqueConstraint('entry_id')
    )
    op.create_index('ix_audit_entries_time', 'audit_entries', ['time'])
    for column in ('principal', 'org', 'tool', 'action', 'object', 'outcome'):
        op.create_index(f'ix_audit_entries_{column}', 'audit_entries', [column, 'sequence'])
    op.create_table('audit_touched',
    sa.Column('record_id', sa.Text(), nullable=False),
    sa.Column('sequence', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('record_id', 'sequence'),
    sqlite_with_rowid=False
    )
    op.create_table('audit_indexed',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.execute('INSERT INTO audit_indexed (id, sequence) VALUES (1, 0)')
    op.create_table('audit_checkpoints',
    sa.Column('sequence', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('hash', sa.LargeBinary(), nullable=False),
    sa.Column('time', sa.BigInteger(), nullable=False),
    sa.Column('note', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('sequence')
    )
