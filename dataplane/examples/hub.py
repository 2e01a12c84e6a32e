#!/usr/bin/env python3
"""hub.py - libwghub from Python, by ctypes alone: a hub and two peers in memory.

    python3 hub.py [libwghub.so.1]

The structs are those of wghub.h for 64-bit machines; what is reserved there only has a size here.
"""
import ctypes as c
import sys

lib = c.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libwghub.so.1")
SECOND = 10**9
IPV4 = 4
HAS_PRIVATE_KEY, PEER_HAS_ENDPOINT = 1 << 0, 1 << 4
HEADROOM, TAILROOM = 16, 32
Key = c.c_uint8 * 32


def struct(name, *fields):
    return type(name, (c.Structure,), {"_fields_": list(fields)})


Addr = struct("Addr", ("bytes", c.c_uint8 * 16), ("family", c.c_uint8))
Prefix = struct("Prefix", ("addr", Addr), ("bits", c.c_uint8))
Endpoint = struct("Endpoint", ("addr", c.c_uint8 * 16), ("local", c.c_uint8 * 16),
                  ("scope_id", c.c_uint32), ("local_ifindex", c.c_uint32),
                  ("port", c.c_uint16), ("family", c.c_uint8))
Packet = struct("Packet", ("data", c.c_void_p), ("len_bytes", c.c_uint32), ("ecn", c.c_uint8),
                ("dscp", c.c_uint8), ("reserved", c.c_uint8 * 2))
Burst = struct("Burst", ("endpoint", Endpoint), ("packets", c.POINTER(Packet)),
               ("n_packets", c.c_uint32))
Output = struct("Output", ("bursts", c.POINTER(Burst)), ("n_bursts", c.c_size_t),
                ("packets", c.POINTER(Packet)), ("n_packets", c.c_size_t),
                ("reserved", c.c_uint64 * 4))
AllowedIp = struct("AllowedIp", ("prefix", Prefix), ("remove", c.c_bool))
PeerChange = struct("PeerChange", ("public_key", Key), ("flags", c.c_uint32),
                    ("preshared_key", Key), ("endpoint", Endpoint), ("keepalive_s", c.c_uint16),
                    ("group", c.c_uint8), ("nat", c.c_uint8),
                    ("allowed_ips", c.POINTER(AllowedIp)), ("n_allowed_ips", c.c_size_t),
                    ("tag", c.c_uint64), ("reserved", c.c_uint64 * 6))
Change = struct("Change", ("flags", c.c_uint32), ("private_key", Key),
                ("listen_port", c.c_uint16), ("fwmark", c.c_uint32), ("policy", c.c_void_p),
                ("peers", c.POINTER(PeerChange)), ("n_peers", c.c_size_t),
                ("reserved", c.c_uint64 * 8))
Options = struct("Options", ("size", c.c_size_t), ("aead", c.c_char_p),
                 ("mtu_bytes", c.c_uint32), ("n_events", c.c_uint32),
                 ("memory_bytes", c.c_size_t), ("addresses", c.POINTER(Prefix)),
                 ("n_addresses", c.c_size_t), ("has_tun", c.c_bool),
                 ("deliver_unowned", c.c_bool), ("random", c.c_void_p),
                 ("random_arg", c.c_void_p), ("filter", c.c_void_p), ("filter_arg", c.c_void_p))
Error = struct("Error", ("text", c.c_char * 256))

lib.wgh_strerror.restype = c.c_char_p
lib.wgh_version.restype = c.c_char_p
lib.wgh_hub_next_deadline.restype = c.c_uint64
for f in (lib.wgh_hub_next_deadline, lib.wgh_hub_free):
    f.argtypes = [c.c_void_p]
lib.wgh_hub_apply.argtypes = [c.c_void_p, c.c_void_p, c.c_uint64, c.c_void_p]
lib.wgh_hub_tick.argtypes = [c.c_void_p, c.c_uint64, c.c_int64, c.c_void_p]
for f in (lib.wgh_hub_input_udp, lib.wgh_hub_input_tun):
    f.argtypes = [c.c_void_p, c.c_void_p, c.c_size_t, c.c_uint64, c.c_void_p]


def must(err, error=None):
    if err:
        words = error.text if error and error.text else lib.wgh_strerror(err)
        sys.exit("hub.py: " + words.decode())


class Node:
    """One hub; number 1 is everybody's, 2 and 3 are its peers."""

    def __init__(self, number):
        self.address = Addr((10, 0, 0, number), IPV4)
        self.endpoint = Endpoint((192, 0, 2, number), port=51820, family=IPV4)
        self.private_key, self.public_key, self.hub = Key(), Key(), c.c_void_p()
        must(lib.wgh_key_new(self.private_key))
        lib.wgh_key_public(self.public_key, self.private_key)
        own, error = Prefix(self.address, 24), Error()
        options = Options(size=c.sizeof(Options), addresses=c.pointer(own), n_addresses=1,
                          has_tun=True)
        must(lib.wgh_hub_new(c.byref(self.hub), c.byref(options), c.byref(error)), error)

    def add_peer(self, peer, bits):
        ip, error = AllowedIp(Prefix(peer.address, bits)), Error()
        added = PeerChange(peer.public_key, PEER_HAS_ENDPOINT, endpoint=peer.endpoint,
                           allowed_ips=c.pointer(ip), n_allowed_ips=1)
        change = Change(HAS_PRIVATE_KEY, self.private_key, peers=c.pointer(added), n_peers=1)
        must(lib.wgh_hub_apply(self.hub, c.byref(change), SECOND, c.byref(error)), error)


def carry_out(node, output):
    """Copies what lies in the hub's memory, before the next call for it."""
    for burst in output.bursts[:output.n_bursts]:
        for packet in burst.packets[:burst.n_packets]:
            wire.append((node, burst.endpoint.addr[3], c.string_at(packet.data, packet.len_bytes)))
    for packet in output.packets[:output.n_packets]:
        heard.append(c.string_at(packet.data, packet.len_bytes)[28:].decode())


def tick_if_due(node):
    while lib.wgh_hub_next_deadline(node.hub) <= SECOND:
        output = Output()
        lib.wgh_hub_tick(node.hub, SECOND, 1700000000 * SECOND, c.byref(output))
        carry_out(node, output)


def run():
    for node in nodes:
        tick_if_due(node)
    while wire:
        sender, number, data = wire.pop(0)
        node, output = nodes[number - 1], Output()
        memory = c.create_string_buffer(data, len(data))
        packet = Packet(c.addressof(memory), len(data))
        burst = Burst(sender.endpoint, c.pointer(packet), 1)
        must(lib.wgh_hub_input_udp(node.hub, c.byref(burst), 1, SECOND, c.byref(output)))
        carry_out(node, output)
        tick_if_due(node)


def say(sender, receiver, text):
    payload = text.encode()
    length = 28 + len(payload)
    ip = bytearray([0x45, 0, 0, length, 0, 0, 0, 0, 64, 17, 0, 0])
    ip += bytes(sender.address.bytes[:4]) + bytes(receiver.address.bytes[:4])
    total = sum(int.from_bytes(ip[i:i + 2], "big") for i in range(0, 20, 2))
    ip[10:12] = (~(total + (total >> 16)) & 0xffff).to_bytes(2, "big")
    packet_bytes = bytes(ip) + bytes([0, 7, 0, 7, 0, length - 20, 0, 0]) + payload
    memory, output = c.create_string_buffer(HEADROOM + length + TAILROOM), Output()
    data = c.addressof(memory) + HEADROOM
    c.memmove(data, packet_bytes, length)
    packet = Packet(data, length)
    must(lib.wgh_hub_input_tun(sender.hub, c.byref(packet), 1, SECOND, c.byref(output)))
    carry_out(sender, output)
    run()


wire, heard = [], []
nodes = [Node(number) for number in (1, 2, 3)]
hub, ann, ben = nodes
for peer in (ann, ben):
    hub.add_peer(peer, 32)
    peer.add_peer(hub, 24)
say(ann, ben, "hello from Python")
say(ben, ann, "hello back")
for node in nodes:
    lib.wgh_hub_free(node.hub)
print("libwghub", lib.wgh_version().decode(), heard)
sys.exit(heard != ["hello from Python", "hello back"])
