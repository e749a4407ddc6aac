"""a store on a server: who wrote last, where it was moved to, who may still read it, numbers that do not end early"""

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None

NUMBERS = {
    'audit_events': ('sequence',),
    'audit_entries': ('sequence', 'outcome_sequence'),
    'audit_touched': ('sequence',),
    'audit_checkpoints': ('sequence',),
}
"""SQLite's whole numbers have eight bytes already; PostgreSQL's have four."""


def upgrade() -> None:
    op.add_column('store', sa.Column('moved_to', sa.Text(), nullable=True))
    op.add_column('store', sa.Column('oldest_reader', sa.Text(), nullable=True))
    op.create_table('writers',
    sa.Column('process_id', sa.Text(), nullable=False),
    sa.Column('group_id', sa.Text(), nullable=False),
    sa.Column('at', sa.BigInteger(), nullable=False),
    sa.PrimaryKeyConstraint('process_id')
    )
    if op.get_bind().dialect.name != 'postgresql':
        return
    for table, columns in NUMBERS.items():
        op.execute(f'ALTER TABLE {table} ' + ', '.join(f'ALTER COLUMN {column} TYPE bigint' for column in columns))
