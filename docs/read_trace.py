#!/usr/bin/env python3
"""Prints a Sleepwalk trace as one JSON object per line, as `sleepwalk dump` does.

It was written from trace-format.md alone, with Python's standard library, and shows that the document is
enough to write a reader in another language. It is made to be read, not to be fast.
"""

import json
import struct
import sys

FILE_MAGIC = b"\x89SWK\r\n\x1a\n"
CHUNK_MAGIC = b"SWCK"
VERSION = 1
CHUNK_HEADER = 48
MAX_PAYLOAD = 16 << 20
NONE = 1 << 32  # above all sequence numbers
REASONS = ["start", "tick", "attempt_begin", "attempt_end", "end", "lost"]
COUNTERS = ["active_count", "event_count", "wakeup_count", "expire_count", "relax_count",
            "total_ns", "max_ns", "last_ns", "start_prevent_ns", "prevent_ns"]


def crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = list(crc_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Bad(Exception):
    """The bytes are not what the format requires."""


class Body:
    """Reads one field after another from some bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, count):
        taken = self.data[self.at:self.at + count]
        if len(taken) < count:
            raise Bad
        self.at += count
        return taken

    def u8(self):
        return self.raw(1)[0]

    def unsigned(self, size):
        first = self.u8()
        if first < 251:
            return first
        width = {251: 2, 252: 4, 253: 8}.get(first, 99)
        if width > size:
            raise Bad
        return int.from_bytes(self.raw(width), "little")

    def u16(self):
        return self.unsigned(2)

    def u32(self):
        return self.unsigned(4)

    def u64(self):
        return self.unsigned(8)

    def signed(self, size):
        value = self.unsigned(size)
        return value >> 1 if value & 1 == 0 else -(value >> 1) - 1

    def i32(self):
        return self.signed(4)

    def i64(self):
        return self.signed(8)

    def bool(self):
        value = self.u8()
        if value > 1:
            raise Bad
        return value == 1

    def bytes(self):
        return self.raw(self.u64())

    def string(self):
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise Bad from None

    def optional(self, read):
        return read() if self.bool() else None

    def list(self, read):
        return [read() for _ in range(self.u64())]


DUMP_STATUS = {0: "goes_on", 1: "whole", 2: "cut", 3: "timed_out", 4: "failed"}
LEVELS = {0: "thread", 1: "softirq", 2: "hardirq", 3: "nmi"}


class Dump:
    """The state from one record to the next."""

    def __init__(self):
        self.strings = {}
        self.forget()

    def forget(self):
        """After a gap, snapshots cannot be decoded until the next full one."""
        self.sources, self.based = {}, False

    def text(self, key, ident):
        return as_text(key, self.strings.get(ident))

    def record(self, kind, body):
        """Kind and fields of one record; None for an unknown kind."""
        b = body
        if kind == 1:
            s = {"agent": b.string(), "device": b.string(), "kernel": b.string(),
                 "machine": b.string(), "page_size": b.u32(), "boot_id": b.string(),
                 "fingerprint": b.string(), "source": b.string(),
                 "hooks": b.list(lambda: {"what": b.string(), "how": b.string(), "why": b.string()}),
                 "interval_ns": b.u64(), "edges": b.bool(), "serial": b.string()}
            return "session", s
        if kind == 2:
            ident, string = b.u32(), b.bytes()
            return "string", lambda: self.define(ident, string)
        if kind == 3:
            s = {"instance": b.u32(), "name_id": b.u32(), "name_cut": b.bool(),
                 "id": b.optional(b.u32), "address": b.u64(), "name_pointer": b.u64()}
            return "source", s | self.text("name", s["name_id"])
        if kind == 4:
            return "snapshot", self.snapshot(b)
        if kind == 5:
            action = self.text("action", b.u32())
            return "phase", {"value": b.i32(), "begin": b.bool()} | action
        if kind == 6:
            return "return", {"errno": b.optional(b.i32)}
        if kind == 7:
            return "lost", {"events": b.u64()}
        if kind == 8:
            return "overhead", {key: b.u64() for key in (
                "cpu_ns", "snapshots", "snapshots_ns", "snapshot_max_ns", "bytes_written")}
        if kind == 9:
            return "end", {"reason": b.string()}
        if kind == 10:
            instance, flags = b.u32(), b.u8()
            return "edge", {"instance": instance, "active": flags & 1 != 0,
                            "shared": flags & 2 != 0, "state": b.optional(b.u32)}
        if kind == 11:
            return "wait_begin", {"thread": b.u32()}
        if kind == 12:
            return "wait_end", {"thread": b.u32(), "idle": b.bool()}
        if kind == 13:
            return "count_write", {"thread": b.u32(), "saved": b.bool()}
        if kind == 14:
            return "irq", ({"number": b.u32()} | self.text("name", b.u32())
                           | self.text("chip", b.u32()))
        if kind == 15:
            return "wake", {"irq": b.u32()}
        if kind == 16:
            strings = (self.text("name", b.u32()) | self.text("type", b.u32())
                       | self.text("status", b.u32()))
            return "power_supply", strings | {key: b.optional(b.i64) for key in (
                "capacity", "charge_uah", "current_ua", "online")}
        if kind == 17:
            counters = b.list(lambda: self.text("name", b.u32()) | {"value": b.u64()})
            return "suspend_stats", ({"counters": counters} | self.text("last_device", b.u32())
                                     | {"last_errno": b.i32()} | self.text("last_step", b.u32()))
        if kind == 18:
            return "waiters", {"how": b.string(), "why": b.string(), "took_ns": b.u64(),
                               "seen": b.u32(), "threads": b.list(b.u32)}
        if kind == 19:
            irq, reason = b.optional(b.u32), b.bytes()
            return "wake_reason", ({"irq": irq} | as_text("reason", reason)
                                   | {"freeze_timeout_ms": b.optional(b.u32)})
        if kind == 20:
            return "hook_runs", {"hooks": b.list(lambda: {
                "what": b.string(), "runs": b.optional(b.u64), "missed": b.optional(b.u64)})}
        if kind == 21:
            return "note", {"about": b.string(), "text": b.string()}
        if kind == 22:
            ident, function, module, level = b.u32(), b.u32(), b.u32(), b.u8()
            a = {"id": ident, "level": LEVELS.get(level, "unknown"), "process": b.u32(),
                 "thread": b.u32(), "uid": b.u32()}
            comm = b.u32()
            a["frames"] = b.list(b.string)
            return "activator", (a | self.text("function", function) | self.text("module", module)
                                 | self.text("comm", comm))
        if kind == 23:
            return "activated_by", {"instance": b.u32(), "activator": b.u32()}
        if kind == 25:
            name, process, uid, comm = b.u32(), b.u32(), b.u32(), b.u32()
            return "epoll_waiter", ({"process": process, "uid": uid}
                                    | self.text("name", name) | self.text("comm", comm))
        if kind == 26:
            dump, service, status = b.u32(), b.string(), b.u8()
            d = {"dump": dump, "service": service, "status": DUMP_STATUS.get(status, "unknown"),
                 "took_ns": b.u64()}
            return "service_dump", d | {"bytes_hex": b.bytes().hex()}
        if kind == 24:
            source, path, driver, compatible = b.u32(), b.u32(), b.u32(), b.u32()
            return "source_device", ({"instance": source, "irq": b.optional(b.u32)}
                                     | self.text("path", path) | self.text("driver", driver)
                                     | self.text("compatible", compatible))
        return None

    def define(self, ident, string):
        self.strings[ident] = string
        return {"id": ident} | as_text("text", string)

    def snapshot(self, b):
        reason = b.u32()
        if reason >= len(REASONS):
            raise Bad
        s = {"reason": REASONS[reason], "mono_ns": b.u64(), "took_ns": b.u64(), "seen": b.u32(),
             "stored": b.u32(), "broken": b.bool(), "late": b.bool(), "full": b.bool()}
        changed = b.list(lambda: (b.u32(), b.u8(), b.u16(), b.list(b.u64)))
        s["gone"] = b.list(b.u32)
        return lambda: s | {"changed": self.apply(s["full"], changed, s["gone"])}

    def apply(self, full, changed, gone):
        """Absolute values from differences; None if their base is unknown."""
        if full:
            self.sources, self.based = {}, True
        elif not self.based:
            return None
        for instance in gone:
            self.sources.pop(instance, None)
        for instance, state, mask, deltas in changed:
            bits = [bit for bit in range(16) if mask >> bit & 1]
            if mask >> len(COUNTERS) or len(bits) != len(deltas):
                self.forget()
                return None
            counters = list(self.sources.get(instance, (0, [0] * len(COUNTERS)))[1])
            for bit, delta in zip(bits, deltas):
                counters[bit] = (counters[bit] + delta) % 2**64
            self.sources[instance] = (state, counters)
        return [self.shown(instance) for instance, *_ in changed]

    def shown(self, instance):
        state, counters = self.sources[instance]
        return {"instance": instance, "active": state & 1 != 0, "torn": state & 2 != 0,
                "autosleep": state & 4 != 0} | dict(zip(COUNTERS, counters))

    def payload(self, data, stamp):
        """The lines of one chunk."""
        frames = Body(data)
        while frames.at < len(data):
            try:
                frame = Body(frames.raw(frames.u32()))
                kind = frame.u8()
                stamp = (stamp + frame.i64()) % 2**64
            except Bad:
                # The rest of the chunk cannot be split into records.
                self.forget()
                yield {"kind": "gap"}
                return
            try:
                record = self.record(kind, frame)
                if record is None:
                    continue
                if frame.at < len(frame.data):
                    raise Bad
            except Bad:
                self.forget()
                yield {"kind": "gap"}
                continue
            name, fields = record
            # State changes only after the whole record has proved to be sound.
            yield {"kind": name, "at_ns": stamp} | (fields() if callable(fields) else fields)


def as_text(key, text):
    if text is None:
        return {key: None}
    shown = {key: text.decode("utf-8", "replace")}
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        shown[key + "_hex"] = text.hex()
    return shown


def chunk_at(data, at, end):
    """The whole and sound chunk there: sequence, payload, base, clocks, earliest start of the next."""
    if data[at:at + 4] != CHUNK_MAGIC or at + CHUNK_HEADER > end:
        return None
    length, sequence, crc, *clocks = struct.unpack_from("<IIIQQQq", data, at + 4)
    stop = at + CHUNK_HEADER + length
    if length > MAX_PAYLOAD or stop > end:
        return None
    if crc32c(data[at + 4:at + 12] + data[at + 16:stop]) != crc:
        return None
    return sequence, data[at + CHUNK_HEADER:stop], clocks, stop + -length % 8


def search(data, at, end):
    """The place of the next chunk in the region, and the chunk."""
    while at < end:
        if data[at:at + 4] == CHUNK_MAGIC and (chunk := chunk_at(data, at, end)):
            return at, chunk
        at += 8
    return None


def regions(data, first, length):
    """Start and end of each, sorted, and the sequence number that none of its chunks reaches."""
    starts = range(first, len(data), length) if length else [first]
    found = []
    for start in starts:
        end = min(start + length, len(data)) if length else len(data)
        chunk = search(data, start, end)
        found.append((chunk[1][0] if chunk else NONE, start, end))
    found.sort()
    firsts = [first for first, _, _ in found[1:]] + [NONE]
    return [(start, end, limit) for (_, start, end), limit in zip(found, firsts)]


def lines(data):
    magic, version, header, crc, length = struct.unpack_from("<8sHHIQ", data)
    if magic != FILE_MAGIC:
        raise ValueError("it is not a Sleepwalk trace")
    if header < 24 or crc32c(data[:12] + data[16:header]) != crc:
        raise ValueError("its header is damaged")
    if version > VERSION:
        raise ValueError(f"its format is version {version}, this reads {VERSION}")
    dump, following, whole = Dump(), None, True
    for start, end, limit in regions(data, header, length):
        at = start
        while found := search(data, at, end):
            where, (sequence, payload, (base, boot, suspended, real), after) = found
            # It was written while the file was copied.
            if sequence >= limit:
                break
            first = following is None
            # Chunks that a ring dropped before its first one are no gap: no state depends on them.
            gap = where > at or sequence != (following or 0) and not (first and length)
            if gap:
                dump.forget()
                whole = False
                yield {"kind": "gap"}
            yield {"kind": "chunk", "sequence": sequence, "boot_ns": boot,
                   "suspended_ns": suspended, "realtime_ns": real}
            # A prologue has nothing new for a reader of everything before it.
            prologue = bool(length) and where == start
            skipped = prologue and whole and not first
            whole = whole or prologue
            for line in [] if skipped else dump.payload(payload, base):
                whole = whole and line["kind"] != "gap"
                yield line
            following, at = (sequence + 1) % 2**32, after


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: read_trace.py TRACE")
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    try:
        for line in lines(data):
            print(json.dumps(line))
    except (ValueError, struct.error) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
