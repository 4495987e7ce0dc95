"""SCTP without a kernel that has its sockets: INIT and INIT ACK as raw packets, which connection tracking follows and translates like any.

serve NAME PORT     answers each INIT with an INIT ACK whose cookie is "NAME <address that the client seems to have>"
dial HOST PORT SECONDS   prints the cookie of the answer, or "timeout"
"""

import socket
import struct
import sys

CLIENT_PORT = 5000
INIT, INIT_ACK, COOKIE = 1, 2, 7
TABLE = []
for byte in range(256):
    crc = byte
    for _ in range(8):
        crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    TABLE.append(crc)


def checksum(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def packet(source, destination, verification, kind, parameters=b""):
    fixed = struct.pack("!IIHHI", 0x1234, 65536, 1, 1, 1)
    chunk = struct.pack("!BBH", kind, 0, 4 + len(fixed) + len(parameters)) + fixed + parameters
    head = struct.pack("!HHI", source, destination, verification)
    padded = chunk + b"\0" * (-len(chunk) % 4)
    return head + checksum(head + b"\0\0\0\0" + padded) + padded


def received(link):
    data, (peer, _) = link.recvfrom(4096)
    segment = data[(data[0] & 15) * 4 :]
    source, destination, _, _ = struct.unpack("!HHII", segment[:12])
    return peer, source, destination, segment[12:]


link = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP)
if sys.argv[1] == "serve":
    name, port = sys.argv[2], int(sys.argv[3])
    print("serving", flush=True)
    while True:
        peer, source, destination, chunk = received(link)
        if destination != port or chunk[0] != INIT:
            continue
        (tag,) = struct.unpack("!I", chunk[4:8])
        cookie = f"{name} {peer}".encode()
        parameter = struct.pack("!HH", COOKIE, 4 + len(cookie)) + cookie
        link.sendto(packet(port, source, tag, INIT_ACK, parameter), (peer, 0))
else:
    host, port, seconds = sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    link.settimeout(seconds)
    link.sendto(packet(CLIENT_PORT, port, 0, INIT), (host, 0))
    try:
        while True:
            peer, source, destination, chunk = received(link)
            if (peer, source, destination, chunk[0]) == (host, port, CLIENT_PORT, INIT_ACK):
                (length,) = struct.unpack("!H", chunk[22:24])
                print(chunk[24 : 20 + length].decode())
                break
    except TimeoutError:
        print("timeout")
