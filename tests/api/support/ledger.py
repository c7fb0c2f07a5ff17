"""Reads STATE/ledger on its own, record by record, so that `hako bill` is checked, not trusted."""
import dataclasses
import os
import struct
import uuid

SEGMENT_HEADER = struct.Struct("<QIIQQQII")
SEGMENT_HEADER_BYTES = 4096
SEGMENT_MAGIC = 0x3152444C4F4B4148
RECORD = struct.Struct("<IBBBBQq16s8Q6I64s64x")
OUTCOMES = (
    "ok", "function_error", "timeout", "crash", "out_of_memory", "response_too_large",
    "protocol_error", "client_gone", "init_error", "killed",
)


def make_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = make_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclasses.dataclass
class Record:
    outcome: str
    cold: bool
    sequence: int
    request_id: str
    duration_us: int
    billed_us: int
    init_us: int
    cpu_us: int
    memory_peak_bytes: int
    memory_mib: int
    version: int
    function: str
    response_bytes: int


def decode(raw: bytes) -> Record:
    fields = RECORD.unpack(raw)
    assert fields[0] == crc32c(raw[4:]), f"record {fields[5]} is damaged"
    _, _, duration_us, billed_us, init_us, cpu_us, _, memory_peak_bytes = fields[8:16]
    memory_mib, version, _, _, response_bytes, _ = fields[16:22]
    return Record(
        OUTCOMES[fields[1]], bool(fields[2]), fields[5], str(uuid.UUID(bytes=fields[7])),
        duration_us, billed_us, init_us, cpu_us, memory_peak_bytes, memory_mib, version,
        fields[22].rstrip(b"\0").decode(), response_bytes,
    )


def read_ledger(state: str) -> list[Record]:
    """Every record in order; a hole in the sequence is an error."""
    records: list[Record] = []
    folder = os.path.join(state, "ledger")
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".led")):
        with open(os.path.join(folder, name), "rb") as file:
            data = file.read()
        assert SEGMENT_HEADER.unpack_from(data)[0] == SEGMENT_MAGIC
        for at in range(SEGMENT_HEADER_BYTES, len(data) - RECORD.size + 1, RECORD.size):
            raw = data[at : at + RECORD.size]
            if not any(raw):
                break
            records.append(decode(raw))
    assert [record.sequence for record in records] == list(range(1, len(records) + 1))
    return records
