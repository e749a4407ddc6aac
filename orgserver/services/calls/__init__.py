"""What a call passes through: access, plan, preflight, idempotency, confirmation, snapshot; and how people answer.

Approvals, one-time codes and desktop notifications stand beside that path: they are a person's way to say yes.
"""
