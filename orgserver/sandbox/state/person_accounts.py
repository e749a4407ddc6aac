"""Person accounts: an account that is a person, with a contact behind it; off until a test turns the knob."""

from __future__ import annotations

import copy
from typing import Any

from orgserver.sandbox.state import schema
from orgserver.sandbox.state.schema import SObject

Record = dict[str, Any]
_NAMES = ("Salutation", "FirstName", "LastName")
_PERSON = {"PersonEmail": "Email", "PersonMobilePhone": "MobilePhone", "PersonTitle": "Title"}
_PERSON |= {"PersonBirthdate": "Birthdate"}


def descriptions() -> list[dict[str, Any]]:
    """What Account and Contact look like in an org with person accounts."""
    account, contact = (copy.deepcopy(schema.load(name).describe) for name in ("Account", "Contact"))
    of_contact = {field["name"]: field for field in contact["fields"]}
    flag = of_contact["IsDeleted"] | {"name": "IsPersonAccount", "label": "Is Person Account"}
    link = of_contact["ReportsToId"] | {"name": "PersonContactId", "label": "Contact ID", "referenceTo": ["Contact"]}
    link |= {"relationshipName": "PersonContact", "createable": False, "updateable": False}
    names = [of_contact[name] | {"nillable": True, "nameField": False} for name in _NAMES]
    of_person = [of_contact[name] | {"name": person, "idLookup": False} for person, name in _PERSON.items()]
    account["fields"] += [flag, link, *names, *of_person]
    contact["fields"].append(flag)
    return [account, contact]


def is_person(sobject: SObject, values: Record) -> bool:
    """Tell whether a new account is a person: it has a last name, and the org has such accounts."""
    return sobject.name == "Account" and bool(values.get("LastName"))


def as_account(values: Record) -> Record:
    """The values of a new account that is a person."""
    names = [values.get("FirstName"), values["LastName"]]
    return values | {"IsPersonAccount": True, "Name": " ".join(name for name in names if name)}


def contact_of(account: Record) -> Record:
    """The values of the contact behind it."""
    values = {name: account.get(name) for name in _NAMES} | {
        name: account.get(person) for person, name in _PERSON.items()
    }
    return values | {"AccountId": account["Id"], "IsPersonAccount": True, "Phone": account.get("Phone")}
