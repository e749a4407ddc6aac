"""The tables of the store. Times are microseconds since 1970 UTC; ``sealed`` columns open only through the vault."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
)

metadata = MetaData()
_Sequence = BigInteger().with_variant(Integer, "sqlite")  # there, only an INTEGER is the key of a row itself

store = Table(
    "store",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("store_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("canary", LargeBinary, nullable=False),  # a known text, so that a wrong master key is noticed at start
    Column("store_key", LargeBinary, nullable=False),  # wrapped: cursors, forms at /me; nothing that lasts
    Column("audit_key", LargeBinary, nullable=False),  # wrapped: MACs and the sealed head
    Column("signing_key", LargeBinary),  # wrapped: the seed of the Ed25519 key that signs checkpoints
    Column("copied_at", BigInteger),  # this file is a backup's: its refresh tokens may have been rotated since
    Column("catalog_version", BigInteger, nullable=False),  # grows with every change to orgs or credentials
    Column("moved_to", Text),  # where this store is now: nobody opens it here any more
    Column("oldest_reader", Text),  # the oldest schema whose programs may still open it; none but its own where empty
)

# Of what each of the last versions of the catalog is another than the one before.
catalog_changes = Table(
    "catalog_changes",
    metadata,
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),  # org, principal, people, key
    Column("name", Text, nullable=False),  # the row id of an org, or the name of a principal
)

orgs = Table(
    "orgs",
    metadata,
    Column("row_id", Text, primary_key=True),
    Column("alias", Text, nullable=False, unique=True),
    Column("org_id", Text),
    Column("name", Text, nullable=False),
    Column("kind", Text),
    Column("edition", Text),
    Column("login_url", Text, nullable=False),
    Column("instance_url", Text, nullable=False),
    Column("trusted_hosts", Text, nullable=False),  # JSON list
    Column("api_version", Text, nullable=False),
    Column("user_id", Text),
    Column("username", Text),
    Column("user_time_zone", Text),
    Column("state", Text, nullable=False),
    Column("cause", Text),
    Column("problem", Text),  # JSON object
    Column("policy", Text, nullable=False),  # JSON object; used until the org id is known
    Column("tags", Text, nullable=False),  # JSON list
    Column("source", Text, nullable=False),
    Column("auth", Text, nullable=False, server_default="refresh-token"),
    Column("held", Boolean, nullable=False, server_default=false()),  # no refresh until an operator tries the token
    Column("move", Text),  # JSON object: to another instance, proven or not
    Column("enabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("refreshed_at", BigInteger),
    Index("ix_orgs_org_id", "org_id"),
)

# What limits an org by whatever alias; it stays when the last alias is removed.
policies = Table(
    "policies",
    metadata,
    Column("org_id", Text, primary_key=True),  # in its 18-character form
    Column("policy", Text, nullable=False),  # JSON object
    Column("identity", Text, nullable=False, server_default="shared"),  # whose login its calls use
    Column("username_from", Text),  # JSON object: which user a principal is, where an assertion logs in
)

# What orgs say of their objects: names, types, labels; nothing secret, and all of it can be asked for again.
describes = Table(
    "describes",
    metadata,
    Column("row_id", Text, ForeignKey("orgs.row_id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Text, primary_key=True),  # which fields there are depends on who looks; empty: not known
    Column("object", Text, primary_key=True),  # in lower case; empty: the list of all objects
    Column("api_version", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),  # compressed
    Column("last_modified", Text),  # in Salesforce's words, for If-Modified-Since
    Column("fetched_at", BigInteger, nullable=False),  # when it was last known to be true
    Column("used_at", BigInteger, nullable=False),
    Index("ix_describes_used_at", "row_id", "used_at"),
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("owner", Text, primary_key=True),  # an org's row id, also in enrolment; a connection's; the store's
    Column("wrapped", LargeBinary, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("row_id", Text, ForeignKey("orgs.row_id", ondelete="CASCADE"), primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("client_secret", LargeBinary),  # sealed
    Column("refresh_token", LargeBinary),  # sealed, fencing number in its context
    Column("private_key", LargeBinary),  # sealed
    Column("username", Text),
    Column("audience", Text),  # of an assertion: the one that worked last, or the one that an operator chose
    Column("explicit_audience", Boolean, nullable=False, server_default=false()),  # an operator chose it
    Column("fencing", BigInteger, nullable=False),
    Column("given", Text, nullable=False),  # digest of the refresh token as it was given: its other copies may be spent
    Column("token_digest", Text),  # of the refresh token as it is; none where an earlier version wrote it
    Column("digest_fencing", BigInteger),  # the fencing number that this is the digest of
    Index("ix_credentials_given", "given"),
    Index("ix_credentials_token_digest", "token_digest"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("row_id", Text, ForeignKey("orgs.row_id", ondelete="CASCADE"), primary_key=True),
    Column("token", LargeBinary, nullable=False),  # sealed
    Column("instance_url", Text, nullable=False),
    Column("fencing", BigInteger, nullable=False),
    Column("obtained_at", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("row_id", Text, primary_key=True),
    Column("holder", Text, nullable=False),  # a process's id, and a serial of its own
    Column("expires_at", BigInteger, nullable=False),
    Column("fencing", BigInteger, nullable=False, server_default="0"),  # of the refresh token that is being sent
    Column("sent_at", BigInteger),  # from just before a refresh token is sent until its answer is stored
)

enrolments = Table(
    "enrolments",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("row_id", Text, nullable=False, unique=True),
    Column("draft", LargeBinary, nullable=False),  # sealed: what is known so far
    Column("created_at", BigInteger, nullable=False),
    Column("given", Text),  # digest of the refresh token that was given; none where an earlier version wrote it
    Index("ix_enrolments_given", "given"),
)

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("heartbeat_at", BigInteger, nullable=False),
    Column("schema", Text),  # which its program knows; programs before 0012 say nothing
)

# The last commit of each process that moved no head: whether it was made, when a server's answer to it was lost.
writers = Table(
    "writers",
    metadata,
    Column("process_id", Text, primary_key=True),
    Column("group_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("sequence", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=False),  # from the head row: no holes, ever
    Column("entry_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # intent, outcome
    Column("time", BigInteger, nullable=False),
    Column("principal", Text),
    Column("org", Text),
    Column("tool", Text),
    Column("action", Text),
    Column("object", Text),
    Column("outcome", Text),
    Column("canonical", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Index("ux_audit_events_entry", "entry_id", "kind", unique=True),
)

# What people search by, in lower case: made from the events, a little behind them, and compared with them by verify.
# The chain itself has no index but its own, so that writing an entry costs the same at a million entries.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=False),  # of the intent
    Column("entry_id", Text, nullable=False, unique=True),
    Column("outcome_sequence", _Sequence),
    Column("time", BigInteger, nullable=False),
    Column("principal", Text),
    Column("org", Text),
    Column("tool", Text),
    Column("action", Text),
    Column("object", Text),
    Column("outcome", Text, nullable=False),  # pending until the outcome event is there
    Index("ix_audit_entries_time", "time"),
    Index("ix_audit_entries_principal", "principal", "sequence"),
    Index("ix_audit_entries_org", "org", "sequence"),
    Index("ix_audit_entries_tool", "tool", "sequence"),
    Index("ix_audit_entries_action", "action", "sequence"),
    Index("ix_audit_entries_object", "object", "sequence"),
    Index("ix_audit_entries_outcome", "outcome", "sequence"),
)

audit_touched = Table(
    "audit_touched",
    metadata,
    Column("record_id", Text, primary_key=True),
    Column("sequence", _Sequence, primary_key=True),  # of the intent of the entry that touched it
    sqlite_with_rowid=False,
)

audit_indexed = Table(
    "audit_indexed",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("sequence", BigInteger, nullable=False),  # of the last event that the two tables above know
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("sequence", _Sequence, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("note", Text, nullable=False),  # signed
)

audit_base = Table(
    "audit_base",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1; no row where nothing was pruned
    Column("sequence", BigInteger, nullable=False),  # of the last event that was removed
    Column("hash", LargeBinary, nullable=False),
    Column("intents", BigInteger, nullable=False),  # entries removed so far
    Column("time", BigInteger, nullable=False),
    Column("note", Text, nullable=False),  # signed
)

audit_holds = Table(
    "audit_holds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("principal", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("org", Text),
    Column("record_id", Text),
    Column("since", BigInteger),
    Column("until", BigInteger),
)

# What changes replaced, for orgs whose policy keeps it; the chain holds a salted digest of each.
kept_values = Table(
    "kept_values",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("row_id", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("record_id", Text, nullable=False),  # empty for a create: the entry's outcome names it
    Column("time", BigInteger, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("login_id", Text),  # of whoever's own login read them; none: the shared one's
    Index("ix_kept_values_row_id", "row_id", "time"),
    Index("ix_kept_values_record_id", "record_id"),
)

audit_pending = Table(
    "audit_pending",
    metadata,
    Column("entry_id", Text, primary_key=True),
    Column("process_id", Text, nullable=False),
    Column("deadline", BigInteger, nullable=False),
)
