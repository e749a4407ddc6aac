"""Policies, what they guard, and the fields that are made from it: as an org without those fields would lack them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orgserver.model.access.policies import Policy, read_object_rule

Values = Mapping[str, Any]
Formula = tuple[str, str, str | None, Callable[[Values], Any]]
"""Object, field, its text (None: a roll-up), and what it makes of a record."""


@dataclass(frozen=True)
class Target:
    """One guarded field: attacks compare it with a literal that fits its type."""

    object: str
    field: str
    literal: str
    word: str
    """What a search looks for, and a filter of a list compares with."""
    is_date: bool = False
    is_number: bool = False


@dataclass(frozen=True)
class Scenario:
    """A policy, with what an org is like in which the fields and objects are absent."""

    name: str
    policy: Policy
    targets: tuple[Target, ...]
    absent_fields: Mapping[str, frozenset[str]]
    absent_objects: frozenset[str] = frozenset()
    formulas: tuple[Formula, ...] = field(default=())
    has_persons: bool = False
    """Whether accounts may be persons, so that contacts' fields are theirs, too."""
    is_enforced: bool = True
    """False: nothing guards what the policy says, so that attacks must be seen to succeed."""


def _fields(**names: str) -> dict[str, frozenset[str]]:
    return {sobject: frozenset(text.split()) for sobject, text in names.items()}


EMAIL = Target("Contact", "Email", "'ada@one.example'", "ada@one.example")
SCENARIOS = (
    Scenario(
        "plain fields are hidden",
        Policy(hide_fields=("Contact.Email", "Contact.Birthdate", "Opportunity.Amount", "User.Email")),
        (
            EMAIL,
            Target("Contact", "Birthdate", "1980-05-06", "1980-05-06", is_date=True),
            Target("Opportunity", "Amount", "5000", "5000", is_number=True),
            Target("User", "Email", "'agent@acme.example'", "agent"),
            Target("Contact", "Score__c", "'ada@one.example'", "ada"),
            Target("Contact", "Deep__c", "'ada@one.example!'", "ada"),
            Target("Case", "ContactEmail", "'ada@one.example'", "ada"),
            Target("Opportunity", "ExpectedRevenue", "500", "500", is_number=True),
            Target("Account", "Pipeline__c", "7000", "7000", is_number=True),
        ),
        _fields(
            Contact="Email Birthdate Score__c Deep__c",
            Opportunity="Amount ExpectedRevenue",
            User="Email",
            Case="ContactEmail",
            Account="Pipeline__c",
        ),
        formulas=(
            ("Contact", "Score__c", "Email", lambda record: record.get("Email")),
            ("Contact", "Deep__c", "Score__c & '!'", lambda record: f"{record.get('Email')}!"),
            ("Account", "Pipeline__c", None, lambda record: 7000 * record["sum"]),
        ),
    ),
    Scenario(
        "fields are masked",
        Policy(mask_fields=("Contact.Email", "Contact.Phone", "Lead.Email", "Account.AnnualRevenue")),
        (
            EMAIL,
            Target("Contact", "Phone", "'+1 555 0123'", "0123"),
            Target("Lead", "Email", "'lea@two.example'", "lea"),
            Target("Account", "AnnualRevenue", "7000", "7000", is_number=True),
            Target("Case", "ContactPhone", "'+1 555 0123'", "0123"),
        ),
        _fields(),
    ),
    Scenario(
        "parts of compound fields are hidden",
        Policy(hide_fields=("Contact.FirstName", "Contact.MailingCity", "Lead.Address", "Account.Name")),
        (
            Target("Contact", "FirstName", "'Ada'", "Ada"),
            Target("Contact", "Name", "'Ada Young'", "Ada"),
            Target("Contact", "MailingCity", "'Berlin'", "Berlin"),
            Target("Lead", "City", "'Bonn'", "Bonn"),
            Target("Account", "Name", "'Beta'", "Beta"),
            Target("Contact", "Firm__c", "'Beta'", "Beta"),
        ),
        _fields(
            Contact="FirstName Name MailingCity MailingAddress Firm__c",
            Lead="Address Street City State PostalCode Country Latitude Longitude GeocodeAccuracy",
            Account="Name",
        ),
        formulas=(("Contact", "Firm__c", "Account.Name", lambda record: record.get("firm")),),
    ),
    Scenario(
        "objects are denied and references hidden",
        Policy(
            deny_objects=(read_object_rule("Case"), read_object_rule("Lead:read")),
            hide_fields=("Contact.AccountId", "Event.WhatId"),
        ),
        (
            Target("Case", "Subject", "'Broken'", "Broken"),
            Target("Lead", "Company", "'Acorn'", "Acorn"),
            Target("Contact", "AccountId", "'001000000000001AAA'", "001"),
            Target("Event", "WhatId", "'001000000000001AAA'", "001"),
        ),
        _fields(Contact="AccountId", Event="WhatId AccountId"),
        frozenset({"Case", "Lead"}),
    ),
    Scenario(
        "only some objects are allowed",
        Policy(
            allow_objects=(read_object_rule("Contact:read"), read_object_rule("Event"), read_object_rule("Account")),
            mask_fields=("Account.Name",),
        ),
        (
            Target("Lead", "Company", "'Acorn'", "Acorn"),
            Target("Opportunity", "Name", "'Big deal'", "deal"),
            Target("Account", "Name", "'Beta'", "Beta"),
            Target("User", "Username", "'agent@acme.example'", "agent"),
        ),
        _fields(),
        frozenset({"Lead", "Opportunity", "Case", "User"}),
    ),
    Scenario(
        "accounts are persons",
        Policy(hide_fields=("Contact.Email", "Contact.FirstName"), mask_fields=("Contact.MobilePhone",)),
        (
            Target("Account", "PersonEmail", "'pia@one.example'", "pia"),
            Target("Account", "FirstName", "'Pia'", "Pia"),
            Target("Account", "Name", "'Pia Quist'", "Pia"),
            Target("Account", "PersonMobilePhone", "'+1 555 0777'", "0777"),
            EMAIL,
        ),
        _fields(Contact="Email FirstName Name", Account="PersonEmail FirstName Name", Case="ContactEmail"),
        has_persons=True,
    ),
)
