"""What every org's Contact and Event have: the standard fields, their types, lengths and who may write them.

From Salesforce's own describe of both objects. An org may have more fields (Salesforce judges those) and
narrower rights; it has none of these with another type.
"""

from __future__ import annotations

from orgserver.model.names import CONTACT, EVENT, SObjectName
from orgserver.model.schema import FieldInfo


def _fields(table: str) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = {}
    for line in table.split():
        name, kind, length, flags = line.split(":")
        fields[name.lower()] = FieldInfo(
            name,
            "",
            kind,
            int(length),
            createable="c" in flags,
            updateable="u" in flags,
            filterable="f" in flags,
        )
    return fields


_CONTACT = """
Id:id:18:f
IsDeleted:boolean:0:f
MasterRecordId:reference:18:f
AccountId:reference:18:cuf
LastName:string:80:cuf
FirstName:string:40:cuf
Salutation:picklist:40:cuf
Name:string:121:f
OtherStreet:textarea:255:cuf
OtherCity:string:40:cuf
OtherState:string:80:cuf
OtherPostalCode:string:20:cuf
OtherCountry:string:80:cuf
OtherLatitude:double:0:cuf
OtherLongitude:double:0:cuf
OtherGeocodeAccuracy:picklist:40:cuf
OtherAddress:address:0:f
MailingStreet:textarea:255:cuf
MailingCity:string:40:cuf
MailingState:string:80:cuf
MailingPostalCode:string:20:cuf
MailingCountry:string:80:cuf
MailingLatitude:double:0:cuf
MailingLongitude:double:0:cuf
MailingGeocodeAccuracy:picklist:40:cuf
MailingAddress:address:0:f
Phone:phone:40:cuf
Fax:phone:40:cuf
MobilePhone:phone:40:cuf
HomePhone:phone:40:cuf
OtherPhone:phone:40:cuf
AssistantPhone:phone:40:cuf
ReportsToId:reference:18:cuf
Email:email:80:cuf
Title:string:128:cuf
Department:string:80:cuf
AssistantName:string:40:cuf
LeadSource:picklist:255:cuf
Birthdate:date:0:cuf
Description:textarea:32000:cu
OwnerId:reference:18:cuf
CreatedDate:datetime:0:f
CreatedById:reference:18:f
LastModifiedDate:datetime:0:f
LastModifiedById:reference:18:f
SystemModstamp:datetime:0:f
LastActivityDate:date:0:f
LastCURequestDate:datetime:0:f
LastCUUpdateDate:datetime:0:f
LastViewedDate:datetime:0:f
LastReferencedDate:datetime:0:f
EmailBouncedReason:string:255:cuf
EmailBouncedDate:datetime:0:cuf
IsEmailBounced:boolean:0:f
PhotoUrl:url:255:f
Jigsaw:string:20:cuf
JigsawContactId:string:20:f
CleanStatus:picklist:40:cuf
IndividualId:reference:18:cuf
"""

_EVENT = """
Id:id:18:f
WhoId:reference:18:cuf
WhatId:reference:18:cuf
Subject:combobox:255:cuf
Location:string:255:cuf
IsAllDayEvent:boolean:0:cuf
ActivityDateTime:datetime:0:cuf
ActivityDate:date:0:cuf
DurationInMinutes:int:0:cuf
StartDateTime:datetime:0:cuf
EndDateTime:datetime:0:cuf
EndDate:date:0:f
Description:textarea:32000:cu
AccountId:reference:18:f
OwnerId:reference:18:cuf
IsPrivate:boolean:0:cuf
ShowAs:picklist:40:cuf
IsDeleted:boolean:0:f
IsChild:boolean:0:f
IsGroupEvent:boolean:0:f
GroupEventType:picklist:40:f
CreatedDate:datetime:0:f
CreatedById:reference:18:f
LastModifiedDate:datetime:0:f
LastModifiedById:reference:18:f
SystemModstamp:datetime:0:f
IsArchived:boolean:0:f
RecurrenceActivityId:reference:18:f
IsRecurrence:boolean:0:cf
RecurrenceStartDateTime:datetime:0:cuf
RecurrenceEndDateOnly:date:0:cuf
RecurrenceTimeZoneSidKey:picklist:40:cuf
RecurrenceType:picklist:40:cuf
RecurrenceInterval:int:0:cuf
RecurrenceDayOfWeekMask:int:0:cuf
RecurrenceDayOfMonth:int:0:cuf
RecurrenceInstance:picklist:40:cuf
RecurrenceMonthOfYear:picklist:40:cuf
ReminderDateTime:datetime:0:cuf
IsReminderSet:boolean:0:cuf
EventSubtype:picklist:40:cf
IsRecurrence2Exclusion:boolean:0:f
Recurrence2PatternText:textarea:512:c
Recurrence2PatternVersion:picklist:40:f
IsRecurrence2:boolean:0:f
IsRecurrence2Exception:boolean:0:f
Recurrence2PatternStartDate:datetime:0:f
Recurrence2PatternTimeZone:string:255:f
"""

STANDARD_FIELDS: dict[SObjectName, dict[str, FieldInfo]] = {CONTACT: _fields(_CONTACT), EVENT: _fields(_EVENT)}
"""The fields of an object by their names in small letters."""

DEFAULT_FIELDS: dict[SObjectName, tuple[str, ...]] = {
    CONTACT: (
        "Id",
        "Name",
        "FirstName",
        "LastName",
        "Email",
        "Phone",
        "Title",
        "AccountId",
        "Account.Name",
        "LastModifiedDate",
    ),
    EVENT: (
        "Id",
        "Subject",
        "StartDateTime",
        "EndDateTime",
        "IsAllDayEvent",
        "Location",
        "WhoId",
        "Who.Name",
        "Who.Type",
        "WhatId",
        "What.Name",
        "What.Type",
        "OwnerId",
        "DurationInMinutes",
        "IsRecurrence",
        "RecurrenceActivityId",
        "LastModifiedDate",
    ),
}
"""What a read or a list returns when nobody names fields."""

DOUBTFUL_FIELDS: dict[SObjectName, tuple[str, ...]] = {CONTACT: ("IsPersonAccount",), EVENT: ("IsRecurrence2",)}
"""What is returned beside that in the orgs that have it."""


def field(sobject: SObjectName, name: str) -> FieldInfo | None:
    """Look a standard field up, in any case, as Salesforce does."""
    return STANDARD_FIELDS.get(sobject, {}).get(name.lower())
