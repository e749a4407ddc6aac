"""what working against Salesforce itself has taught: an audience that an operator chose"""

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
