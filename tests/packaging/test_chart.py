"""The chart runs one server, or several on a database, with nothing that they do not need, and refuses other values."""

from typing import Any

import pytest

from orgserver import __version__
from orgserver.model.errors import ConfigError
from tests.packaging import containerfile
from tests.packaging.command_line import read_command_line
from tests.packaging.published import content
from tests.packaging.rendering import CHART, VALUES, read_objects, render

PEER = {"podSelector": {"matchLabels": {"app": "caller"}}}
FULL = VALUES | {
    "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "certificate"},
    "tls": {"secretName": "inner-certificate"},
    "metrics": {"enabled": True, "from": [PEER]},
    "networkPolicy": {"from": [PEER]},
    "signIn": {"issuer": "https://idp.example.com", "clientId": "orgs", "existingSecret": "orgserver-signin"},
    "extraArgs": ["--read-only"],
    "env": {"ORGSERVER_KEEP_ALIVE_DAYS": "3"},
}
SERVERS = VALUES | {
    "replicas": 4,
    "database": {"url": "postgresql+asyncpg://orgs@db.example.com/orgs", "existingSecret": "orgs-db", "port": 6432},
}
WRONG: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no TLS anywhere": VALUES | {"trustProxy": []},
    "an address in the clear": VALUES | {"publicUrl": "http://mcp.example.com"},
    "two servers on a volume of one": VALUES | {"replicas": 2},
    "a database with its password": VALUES | {"database": {"url": "postgresql+asyncpg://orgs:x@db.example.com/orgs"}},
    "a password in the values": VALUES | {"env": {"ORGSERVER_DATABASE_PASSWORD": "x"}},
    "no key": VALUES | {"masterKey": {"existingSecret": ""}},
    "a key in the values": VALUES | {"env": {"ORGSERVER_MASTER_KEY": "x"}},
    "another address to listen on": VALUES | {"extraArgs": ["--http=0.0.0.0:1"]},
    "a provider without a client": VALUES | {"signIn": {"issuer": "https://idp.example.com"}},
    "a provider in the clear": VALUES | {"signIn": {"issuer": "http://idp.example.com", "clientId": "orgs"}},
    "everybody's proxy by name": VALUES | {"trustProxy": ["ingress"]},
}


@pytest.fixture(scope="module")
def renderings() -> list[dict[str, Any]]:
    return render(VALUES, FULL, SERVERS, *WRONG.values())


@pytest.fixture(scope="module")
def pod(renderings: list[dict[str, Any]]) -> dict[str, Any]:
    return read_objects(renderings[0])["StatefulSet"]["spec"]["template"]["spec"]


def test_helm_finds_nothing_but_a_missing_icon(renderings: list[dict[str, Any]]) -> None:
    findings = [finding["error"] for rendering in renderings[:3] for finding in rendering["findings"]]

    assert set(findings) == {"icon is recommended"}
    assert f"appVersion: {__version__}" in (CHART / "Chart.yaml").read_text("utf-8")


@pytest.mark.parametrize("number", range(len(WRONG)), ids=list(WRONG))
def test_values_that_would_not_serve_are_refused(renderings: list[dict[str, Any]], number: int) -> None:
    assert "schema" in renderings[3 + number]["error"]


def test_the_secret_at_the_identity_provider_comes_from_a_secret(renderings: list[dict[str, Any]]) -> None:
    without, with_it = (
        {
            each["name"]: each
            for each in read_objects(rendering)["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        for rendering in renderings[:2]
    )

    assert not [name for name in without if "SIGNIN" in name]
    assert with_it["ORGSERVER_SIGNIN_ISSUER"]["value"] == "https://idp.example.com"
    secret = {"name": "orgserver-signin", "key": "client-secret"}
    assert with_it["ORGSERVER_SIGNIN_CLIENT_SECRET"]["valueFrom"] == {"secretKeyRef": secret}


def test_one_server_keeps_its_store_on_a_volume_that_stays(renderings: list[dict[str, Any]]) -> None:
    spec = read_objects(renderings[0])["StatefulSet"]["spec"]
    (volume,) = spec["volumeClaimTemplates"]

    assert spec["replicas"] == 1
    assert volume["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_several_servers_share_a_database_and_have_a_home_each(renderings: list[dict[str, Any]]) -> None:
    objects = read_objects(renderings[2])
    spec = objects["StatefulSet"]["spec"]
    pod = spec["template"]["spec"]
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "database-password"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "database-password"]
    ports = [port["port"] for rule in objects["NetworkPolicy"]["spec"]["egress"] for port in rule["ports"]]

    assert (spec["replicas"], len(spec["volumeClaimTemplates"])) == (4, 1)
    assert environment["ORGSERVER_DATABASE_URL"] == "postgresql+asyncpg://orgs@db.example.com/orgs"
    assert environment["ORGSERVER_DATABASE_PASSWORD_COMMAND"] == f"cat {mount['mountPath']}/password"
    assert (mount["readOnly"], volume["secret"]["secretName"]) == (True, "orgs-db")
    assert 6432 in ports
    assert "DATABASE" not in str(read_objects(renderings[0])["StatefulSet"])


def test_the_server_is_nobody_special_and_writes_its_volume_alone(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    user, group = (int(number) for number in containerfile.last("USER").text.split(":"))
    (volume,) = containerfile.last("VOLUME").arguments

    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": user, "runAsGroup": group, "fsGroup": group,
        "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")] == [volume, "/tmp"]
    assert pod["automountServiceAccountToken"] is False
    assert {each["name"]: each["value"] for each in container["env"]}["ORGSERVER_HOME"].startswith(f"{volume}/")


def test_it_is_started_with_options_that_there_are(renderings: list[dict[str, Any]]) -> None:
    plain, full = [
        read_objects(rendering)["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["args"]
        for rendering in renderings[:2]
    ]
    options = read_command_line(plain)

    assert (options.host, options.port, options.public_url) == ("0.0.0.0", 8080, "https://mcp.example.com")
    assert [str(network) for network in options.trusted_proxies] == VALUES["trustProxy"]
    assert set(full) - set(plain) == {
        "--tls-cert=/run/secrets/orgserver-tls/tls.crt", "--tls-key=/run/secrets/orgserver-tls/tls.key",
        "--metrics=0.0.0.0:9464", "--read-only", "--allow-registration",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="tls.crt"):
        read_command_line(full, signin_issuer="https://idp.example.com", signin_client_id="orgs")


def test_it_is_asked_whether_it_lives_and_whether_it_can_work(renderings: list[dict[str, Any]]) -> None:
    for rendering, scheme in zip(renderings[:2], ("HTTP", "HTTPS"), strict=True):
        (container,) = read_objects(rendering)["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        probes = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

        assert {name: probe["path"] for name, probe in probes.items()} == {
            "startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz",
        }  # fmt: skip
        for probe in probes.values():
            assert (probe["port"], probe["scheme"]) == ("http", scheme)


def test_the_master_key_comes_from_a_secret_and_stands_in_no_object(renderings: list[dict[str, Any]]) -> None:
    objects = read_objects(renderings[1])
    pod = objects["StatefulSet"]["spec"]["template"]["spec"]
    environment = {each["name"]: each for each in pod["containers"][0]["env"]}
    (volume,) = [each for each in pod["volumes"] if each["name"] == "master-key"]

    assert volume["secret"]["secretName"] == "orgserver-key"
    assert environment["ORGSERVER_MASTER_KEY_COMMAND"]["value"] == "cat /run/secrets/orgserver/master-key"
    assert environment["ORGSERVER_KEEP_ALIVE_DAYS"]["value"] == "3"
    assert "Secret" not in objects


def test_only_those_who_are_named_reach_it_and_it_reaches_names_and_salesforce(
    renderings: list[dict[str, Any]],
) -> None:
    policies = [read_objects(rendering)["NetworkPolicy"]["spec"] for rendering in renderings[:2]]
    ports = [{port["port"] for port in rule["ports"]} for rule in policies[0]["egress"]]

    assert policies[0]["ingress"] == []
    assert [(rule["from"], rule["ports"][0]["port"]) for rule in policies[1]["ingress"]] == [
        ([PEER], "http"), ([PEER], "metrics"),
    ]  # fmt: skip
    assert ports == [{53}, {443}]
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)


def test_the_ingress_leads_to_what_clients_need_and_nothing_more(renderings: list[dict[str, Any]]) -> None:
    spec = read_objects(renderings[1])["Ingress"]["spec"]
    (rule,) = spec["rules"]

    assert "Ingress" not in read_objects(renderings[0])
    assert spec["tls"] == [{"hosts": ["mcp.example.com"], "secretName": "certificate"}]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/mcp", "/.well-known/oauth-protected-resource"]


def test_every_value_is_described_by_the_schema() -> None:
    import yaml

    schema = content(CHART / "values.schema.json")["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    assert set(values) | {"global", "nameOverride", "fullnameOverride"} == set(schema)
