"""Which addresses are the whole world's: none through which a network of ours, or this machine, could be reached."""

import pytest

from orgserver.model.hosts import is_public


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"],
)
def test_addresses_of_the_world(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fd00::1", "ff02::1", "2001:db8::1", "100::1", "4000::1",
        "::ffff:10.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1",  # of IPv4, as it is written in IPv6
        "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1.1.1.1",  # by NAT64
        "2002:7f00:1::1", "2002:a00:1::1", "2001:0:a00:1::1",  # by 6to4 and Teredo
    ],
)  # fmt: skip
def test_addresses_of_this_machine_and_of_networks_around_it(address: str) -> None:
    assert not is_public(address)
