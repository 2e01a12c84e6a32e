#!/usr/bin/env python3
"""scan.py - what a device can open: every port of an address, and what of it arrives.

  scan.py scan SOURCE HUB ADDRESS...  a TCP SYN and a UDP datagram to each of the 65,535 ports of each
                                      address, then an echo request and one of GRE; prints how many
                                      left and how many the own system refused
  scan.py watch INTERFACE PROBE       until SIGTERM: what comes in to begin something, a line each,
                                      sorted: "tcp PORT", "udp PORT", "icmp 8", "proto N". Pings from
                                      PROBE are left out: with them the hub finds out who is wide
IPv4 only: raw packets are put together by hand here.
"""
import signal
import socket
import struct
import sys
import time

BATCH = 240  # packets on the way at a time: fewer than a queue holds


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def tcp_syn(source, target, port):
    head = struct.pack("!HHIIBBHHH", 41000, port, 12345, 0, 5 << 4, 2, 64240, 0, 0)
    pseudo = source + target + struct.pack("!BBH", 0, 6, len(head))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


def udp(source, target, port):
    head = struct.pack("!HHHH", 41001, port, 12, 0) + b"scan"
    pseudo = source + target + struct.pack("!BBH", 0, 17, len(head))
    return head[:6] + struct.pack("!H", checksum(pseudo + head) or 0xFFFF) + head[8:]


def echo(number):
    head = struct.pack("!BBHHH", 8, 0, 0, 77, number & 0xFFFF)
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


class Sender:
    """Sends, and lets the hub answer a ping after each batch, so that none is lost on the way."""

    def __init__(self, source, hub):
        self.raw = {p: socket.socket(socket.AF_INET, socket.SOCK_RAW, p) for p in (1, 6, 17, 47)}
        for sock in self.raw.values():
            sock.bind((source, 0))
        self.raw[1].settimeout(0.5)
        self.hub, self.sent, self.failed, self.in_batch, self.pings = hub, 0, 0, 0, 0

    def send(self, proto, packet, address):
        try:
            self.raw[proto].sendto(packet, (address, 0))
            self.sent += 1
            self.in_batch += 1
        except OSError:
            self.failed += 1
        if self.in_batch >= BATCH:
            self.wait()

    def wait(self):
        self.in_batch = 0
        self.pings += 1
        for _ in range(60):
            self.raw[1].sendto(echo(self.pings), (self.hub, 0))
            try:
                while True:
                    packet = self.raw[1].recv(2000)
                    answer = packet[(packet[0] & 15) * 4 :]
                    if answer[0] == 0 and answer[4:8] == echo(self.pings)[4:8]:
                        return
            except TimeoutError:
                pass
        sys.exit("the hub does not answer any more")


def scan(source, hub, addresses):
    sender = Sender(source, hub)
    source = socket.inet_aton(source)
    for address in addresses:
        target = socket.inet_aton(address)
        for port in range(1, 65536):
            sender.send(6, tcp_syn(source, target, port), address)
            sender.send(17, udp(source, target, port), address)
        sender.send(1, echo(0), address)
        sender.send(47, b"\0\0\x08\0", address)
    sender.wait()
    print(sender.sent, sender.failed)


def begun(packet, probe):
    """What this packet would begin, or None."""
    if len(packet) < 28 or packet[0] >> 4 != 4:
        return None
    proto, l4 = packet[9], packet[(packet[0] & 15) * 4 :]
    if proto == 6:
        return f"tcp {struct.unpack_from('!H', l4, 2)[0]}" if l4[13] & 0x12 == 2 else None
    if proto == 17:
        return f"udp {struct.unpack_from('!H', l4, 2)[0]}"
    if proto == 1:
        return f"icmp {l4[0]}" if l4[0] == 8 and packet[12:16] != probe else None
    return f"proto {proto}"


def watch(interface, probe):
    seen = set()
    ended = False
    quiet_since = 0.0

    def end(*_):
        nonlocal ended, quiet_since
        ended, quiet_since = True, time.monotonic()

    # Without a protocol until it is bound, or it would take what comes in elsewhere.
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    sock.bind((interface, 0x0800))
    sock.settimeout(0.01)  # connections that go on leave longer gaps than this
    signal.signal(signal.SIGTERM, end)
    probe = socket.inet_aton(probe)
    print("watching", flush=True)
    while True:
        # What is under way by then comes all the same.
        last = ended and time.monotonic() > quiet_since + 1
        try:
            packet, address = sock.recvfrom(65535)
        except TimeoutError:
            if last:
                break
            continue
        if address[2] == 4:  # PACKET_OUTGOING: our own
            continue
        what = begun(packet, probe)
        if what:
            seen.add(what)
            quiet_since = time.monotonic()
    print("\n".join([*sorted(seen), "end"]), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 4 and sys.argv[1] == "scan":
        scan(sys.argv[2], sys.argv[3], sys.argv[4:])
    elif len(sys.argv) == 4 and sys.argv[1] == "watch":
        watch(sys.argv[2], sys.argv[3])
    else:
        sys.exit(__doc__)
