"""The records of the orgs that are compared: the same but for what a policy guards, which is other in each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from orgserver.model.access.policies import Policy
from orgserver.sandbox.org import SandboxOrg
from tests.leaks.scenarios import Scenario

_FIXED = "2026-01-0{}T08:00:00.000+0000"
_STAMPS = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
_PEOPLE = (
    ("Ada", "Young", "ada@one.example", "+1 555 0123", "1980-05-06", "Berlin"),
    ("Bea", "Xu", "bea@two.example", "+1 555 0124", "1981-05-06", "Bonn"),
    ("Cyd", "Webb", "cyd@one.example", "+1 555 0125", "1982-05-06", "Essen"),
    ("Dan", "Vale", "dan@two.example", "+1 555 0126", None, "Berlin"),
    ("Eve", "Urban", None, None, "1984-05-06", None),
    ("Flo", "Tran", "flo@one.example", "+1 555 0128", "1985-05-06", "Ulm"),
)
_FIRMS = (("Beta", 7000, "Energy"), ("Gamma", 8000, "Media"), ("Delta", 9000, "Energy"))


def fill(org: SandboxOrg, scenario: Scenario, *, is_other: bool) -> None:
    """Give an org its records; ``is_other``: with other values in whatever the policy guards."""
    org.person_accounts = scenario.has_persons
    for sobject, name, formula, _ in scenario.formulas:
        kind = {"type": "double" if name == "Pipeline__c" else "string", "length": 255, "precision": 18, "scale": 2}
        told = {"calculated": True, "calculatedFormula": formula, "createable": False, "updateable": False}
        org.objects.change(sobject, name, kind | told | {"filterable": True, "sortable": True, "groupable": True})
    org.records.tables["Event"].clear()
    org.records.tables["EventRelation"].clear()
    _Filler(org, scenario, is_other=is_other).fill()
    for table in org.records.tables.values():
        for number, record in enumerate(table.values()):
            record.update(dict.fromkeys(_STAMPS, _FIXED.format(1 + number % 9)))


class _Filler:
    def __init__(self, org: SandboxOrg, scenario: Scenario, *, is_other: bool) -> None:
        self._org = org
        self._scenario = scenario
        self._is_other = is_other
        self._number = 0

    def fill(self) -> None:
        for user in self._org.records.tables["User"].values():
            user.update(self._guarded("User", dict(user)))
        firms = [
            self._add("Account", {"Name": name, "AnnualRevenue": revenue, "Industry": industry, "Website": "a.example"})
            for name, revenue, industry in _FIRMS
        ]
        people = [self._person(each, firms[number % 3], number) for number, each in enumerate(_PEOPLE)]
        self._leads()
        if self._scenario.has_persons:
            self._persons()
        for number, person in enumerate(people):
            case = {"Subject": f"Broken {number}", "ContactId": person, "AccountId": firms[number % 3], "Status": "New"}
            self._add("Case", case | {"Priority": "High" if number % 2 else "Low"})
            deal = {"Name": f"Big deal {number}", "AccountId": firms[number % 3], "Amount": 5000 + number}
            self._add("Opportunity", deal | {"StageName": "Prospecting", "CloseDate": "2026-03-01", "Probability": 10})
            self._add("Custom__c", {"Name": f"Thing {number}", "Contact__c": person, "Status__c": "Open"})
            self._event(number, person, firms[number % 3])

    def _person(self, person: Iterable[Any], firm: str, number: int) -> str:
        names = ("FirstName", "LastName", "Email", "Phone", "Birthdate", "MailingCity")
        more = {"AccountId": firm, "Title": f"Title {number % 2}", "LeadSource": "Web" if number % 2 else "Other"}
        return self._add("Contact", dict(zip(names, person, strict=True)) | more | {"Department": f"D{number % 3}"})

    def _leads(self) -> None:
        for number, company in enumerate(("Acorn", "Birch", "Cedar")):
            lead = {"FirstName": f"Lea{number}", "LastName": f"Low{number}", "Company": company, "Status": "Open"}
            self._add("Lead", lead | {"Email": f"lea{number}@two.example", "City": "Bonn", "Country": "DE"})

    def _persons(self) -> None:
        for number, first in enumerate(("Pia", "Quin", "Rex")):
            plain = {"FirstName": first, "LastName": "Quist", "Email": f"{first.lower()}@one.example"}
            self._number += 1
            person = self._guarded("Contact", plain | {"MobilePhone": f"+1 555 077{number}"})
            account = {"PersonEmail": person["Email"], "PersonMobilePhone": person["MobilePhone"], "Industry": "None"}
            account |= {"FirstName": person["FirstName"], "LastName": "Quist", "IsPersonAccount": True}
            identifier = self._org.records.add(self._org.objects.find("Account"), account)
            behind = person | {"AccountId": identifier, "IsPersonAccount": True}
            self._org.records.add(self._org.objects.find("Contact"), behind)

    def _event(self, number: int, who: str, what: str) -> None:
        day = f"2030-01-1{number}"
        times = {"StartDateTime": f"{day}T09:00:00.000+0000", "EndDateTime": f"{day}T10:00:00.000+0000"}
        self._add("Event", {"Subject": f"Talk {number}", "Location": "Room", "WhoId": who, "WhatId": what} | times)

    def _add(self, sobject: str, values: dict[str, Any]) -> str:
        self._number += 1
        guarded = self._guarded(sobject, values)
        firm = self._org.records.tables["Account"].get(str(guarded.get("AccountId")), {})
        for owner, name, _, make in self._scenario.formulas:
            if owner == sobject:
                guarded[name] = make({**guarded, "firm": firm.get("Name"), "sum": self._number * (1 + self._is_other)})
        return self._org.records.add(self._org.objects.find(sobject), guarded)

    def _guarded(self, sobject: str, values: dict[str, Any]) -> dict[str, Any]:
        if not self._is_other:
            return values
        policy = self._scenario.policy
        hidden, masked = _own(policy.hide_fields, sobject), _own(policy.mask_fields, sobject)
        if sobject == "Lead" and "Address" in hidden:
            hidden |= {"City", "Country"}
        if sobject in self._scenario.absent_objects and sobject != "User":
            hidden |= {name for name in values if name not in ("Id", "AccountId", "ContactId", "LastName", "Status")}
        return {
            name: self._other(name, value) if name in hidden else _alike(value) if name in masked else value
            for name, value in values.items()
        }

    def _other(self, name: str, value: Any) -> Any:
        """Another value, in another order, and none where there was one."""
        if name.endswith("Id"):
            firms = sorted(self._org.records.tables["Account"])
            return firms[(self._number + 1) % len(firms)] if value else value
        if isinstance(value, int):
            return 99_999 - 3 * value
        if name in ("Birthdate", "CloseDate"):
            return None if self._number % 3 == 0 else f"19{99 - self._number % 40}-11-12"
        if name in ("StageName", "Priority", "Username"):
            return value
        is_required = name in ("Name", "Subject", "Company", "Email")
        return None if self._number % 3 == 0 and not is_required else f"z{self._number % 7}@other{self._number}.test"


def _alike(value: Any) -> Any:
    """Another value that looks the same in part: first letters and last digits."""
    if not isinstance(value, str):
        return None if value is None else 12 * value + 1
    if "@" in value:
        name, _, host = value.partition("@")
        return f"{name[0]}qqq@{host[0]}zz.{host.rpartition('.')[2]}"
    if value.startswith("+"):
        return f"+99 000 77{value[-2:]}"
    return f"{value[0]}zzz"


def _own(fields: tuple[str, ...], sobject: str) -> set[str]:
    return {name.partition(".")[2] for name in fields if name.partition(".")[0] == sobject}


def policy_of(scenario: Scenario, *, is_absent: bool) -> Policy:
    """No policy guards an org in which there is nothing to guard."""
    return scenario.policy if scenario.is_enforced and not is_absent else Policy()
