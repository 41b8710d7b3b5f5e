"""Checks an export for Perfetto: check.py EXPORT DUMP REPORT

EXPORT is of `sleepwalk export --to perfetto`, DUMP of `sleepwalk dump`, REPORT of
`sleepwalk report --format json`, all of one trace. The export is decoded with Perfetto's own
descriptors, out of the Python package `perfetto`, and compared with what the trace's records say.
What is wrong is said, and ends it with 1.
"""

import collections
import json
import sys

from google.protobuf.unknown_fields import UnknownFieldSet
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as pb

# The first clock that is a sequence's own.
INCREMENTAL = 64
BOOTTIME = pb.BuiltinClock.Value("BUILTIN_CLOCK_BOOTTIME")
MONOTONIC = pb.BuiltinClock.Value("BUILTIN_CLOCK_MONOTONIC")
BEGIN, END, INSTANT, COUNTER = (
    pb.TrackEvent.Type.Value("TYPE_" + name)
    for name in ("SLICE_BEGIN", "SLICE_END", "INSTANT", "COUNTER")
)


def known(message, path):
    """Fails on a field that Perfetto does not know, at any depth."""
    assert not len(UnknownFieldSet(message)), f"{path}: unknown fields"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for one in value if field.is_repeated else [value]:
            known(one, f"{path}.{field.name}")


class Export:
    """The export, taken apart."""

    def __init__(self, data):
        trace = pb.Trace()
        assert trace.ParseFromString(data) == len(data)
        assert trace.IsInitialized()
        known(trace, "trace")
        self.tracks = {}  # uuid → descriptor
        self.events = []  # (stamp, track, event, name)
        self.ftrace = []
        self.clocks = []
        self.counted = []  # (stamp, track, value): counters within other events
        self.stacks = []  # (stamp, track, [(mapping, function, offset)], the outermost first)
        names = {}  # (sequence, iid) → name
        interned = collections.defaultdict(dict)  # (sequence, kind) → iid → value
        defaults = {}  # sequence → its defaults
        last = {}  # sequence → the last stamp of its incremental clock
        for packet in trace.packet:
            sequence = packet.trusted_packet_sequence_id
            assert sequence, "a packet of no sequence"
            if packet.HasField("ftrace_events"):
                bundle = packet.ftrace_events
                assert bundle.HasField("cpu") and not bundle.HasField("ftrace_clock")
                self.ftrace += bundle.event
                continue
            if sequence not in defaults:
                assert packet.sequence_flags & pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
                defaults[sequence] = packet.trace_packet_defaults
            assert packet.HasField("trace_packet_defaults") == (
                packet.trace_packet_defaults == defaults[sequence]
                and bool(packet.sequence_flags & pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED)
            )
            for name in packet.interned_data.event_names:
                key = (sequence, name.iid)
                assert name.iid and key not in names, f"name {key} comes twice"
                names[key] = name.name
            for kind in ["function_names", "mapping_paths", "mappings", "frames", "callstacks"]:
                for one in getattr(packet.interned_data, kind):
                    known_ids = interned[sequence, kind]
                    assert one.iid and one.iid not in known_ids, f"{kind} {one.iid} comes twice"
                    known_ids[one.iid] = one
            if packet.HasField("clock_snapshot"):
                for clock in packet.clock_snapshot.clocks:
                    if clock.is_incremental:
                        assert clock.clock_id == INCREMENTAL and sequence not in last
                        last[sequence] = clock.timestamp
                if sequence not in last:
                    self.clock(packet.clock_snapshot)
            elif packet.HasField("track_descriptor"):
                track = packet.track_descriptor
                assert track.uuid not in self.tracks, f"{track.name} is described twice"
                assert not track.parent_uuid or track.parent_uuid in self.tracks
                self.tracks[track.uuid] = track
            elif packet.HasField("track_event"):
                event = packet.track_event
                assert event.track_uuid in self.tracks, "an event of no track"
                stamp, clock = packet.timestamp, defaults[sequence].timestamp_clock_id
                assert not packet.HasField("timestamp_clock_id")
                if clock == INCREMENTAL:
                    last[sequence] += stamp
                    stamp = last[sequence]
                else:
                    assert clock == BOOTTIME
                name = names[sequence, event.name_iid] if event.name_iid else None
                self.events.append((stamp, event.track_uuid, event, name))
                if event.callstack_iid:
                    of = lambda kind, iid: interned[sequence, kind][iid]
                    frames = [of("frames", i) for i in of("callstacks", event.callstack_iid).frame_ids]
                    paths = [of("mappings", f.mapping_id).path_string_ids for f in frames]
                    self.stacks.append((stamp, event.track_uuid, [
                        (of("mapping_paths", path).str.decode(), of("function_names", f.function_name_id).str.decode(),
                         f.rel_pc)
                        for f, (path,) in zip(frames, paths)
                    ]))
                counters = defaults[sequence].track_event_defaults.extra_counter_track_uuids
                for track, value in zip(counters, event.extra_counter_values, strict=True):
                    assert track in self.tracks, "a counter of no track"
                    self.counted.append((stamp, track, value))
        assert len(defaults) == 2

    def clock(self, snapshot):
        assert snapshot.primary_trace_clock == BOOTTIME
        clocks = {clock.clock_id: clock.timestamp for clock in snapshot.clocks}
        assert BOOTTIME in clocks
        for before in self.clocks[-1:]:
            for clock, stamp in clocks.items():
                assert stamp >= before.get(clock, 0), "clocks run backwards"
        self.clocks.append(clocks)

    def named(self, parent):
        """The tracks below the one of this name, by name."""
        above = {uuid for uuid, track in self.tracks.items() if track.name == parent}
        below = {u: t.name for u, t in self.tracks.items() if t.parent_uuid in above}
        assert len(set(below.values())) == len(below), f"two tracks of one name in {parent}"
        return below

    def slices(self, uuid):
        """(begin, end, name, depth, notes) of a track, which must balance; by its stamps, as
        Perfetto does it."""
        stack, out = [], []
        events = [e for e in self.events if e[1] == uuid and e[2].type in (BEGIN, END)]
        for stamp, _, event, name in sorted(events, key=lambda e: e[0]):
            if event.type == BEGIN:
                stack.append((stamp, name, event))
            else:
                assert stack, f"{self.tracks[uuid].name}: an end without a begin at {stamp}"
                begin, name, first = stack.pop()
                notes = {a.name for a in [*first.debug_annotations, *event.debug_annotations]}
                out.append((begin, stamp, name, len(stack), notes))
        assert not stack, f"{self.tracks[uuid].name}: {len(stack)} slices do not end"
        return sorted(out, key=lambda s: (s[0], s[3]))


def check(export, records, report):
    stamps = [record["at_ns"] for record in records if "at_ns" in record]
    start, end = min(stamps), max(stamps)
    of = collections.defaultdict(list)
    for record in records:
        of[record["kind"]].append(record)

    for stamp in [e[0] for e in export.events] + [e.timestamp for e in export.ftrace]:
        assert start <= stamp <= end, f"{stamp} is not in the session"
    slices = {uuid: export.slices(uuid) for uuid in export.tracks}
    top = export.named("Sleepwalk")
    uuids = {name: uuid for uuid, name in top.items()}

    # The clocks, at the start and at each snapshot after it.
    readings = {(s["at_ns"], s["mono_ns"]) for s in of["snapshot"] if s["at_ns"] > start}
    exported = {(clocks[BOOTTIME], clocks[MONOTONIC]) for clocks in export.clocks[1:]}
    assert exported == readings, exported ^ readings

    # Ftrace events.
    kinds = collections.Counter(event.WhichOneof("event") for event in export.ftrace)
    active = [edge for edge in of["edge"] if edge["active"]]
    assert kinds["wakeup_source_activate"] == len(active)
    assert kinds["wakeup_source_deactivate"] == len(of["edge"]) - len(active)
    phases = [e.suspend_resume for e in export.ftrace if e.HasField("suspend_resume")]
    recorded = lambda begin: collections.Counter(
        (p["action"], p["value"]) for p in of["phase"] if p["begin"] == begin
    )
    have = lambda begin: collections.Counter(
        (p.action, p.val) for p in phases if p.start == begin
    )
    assert have(1) == recorded(True), (have(1), recorded(True))
    assert not recorded(False) - have(0), "ends of phases are missing"
    assert not have(1) - have(0), "phases without an end, in Perfetto for ever"

    # The sleeps that `android.suspend` finds: the slices of `suspend_resume_minimal`.
    asleep, since = 0, None
    for event in sorted(
        (e for e in export.ftrace if e.HasField("suspend_resume_minimal")),
        key=lambda e: e.timestamp,
    ):
        begin = event.suspend_resume_minimal.start
        assert begin == (since is None), "sleeps overlap"
        asleep += 0 if begin else event.timestamp - since
        since = event.timestamp if begin else None
    assert since is None
    assert asleep == report["ledger"]["asleep_ns"], (asleep, report["ledger"])

    # Attempts: the outermost slices.
    attempts = [s for s in slices[uuids["Suspend attempts"]] if s[3] == 0]
    wanted = [(a["start_ns"], a["end_ns"], a["outcome"]) for a in report["attempts"]]
    assert [(s[0], s[1], s[2].split(" ")[0]) for s in attempts] == wanted
    steps = [s for s in slices[uuids["Suspend attempts"]] if s[3] > 0]
    within = [
        p
        for p in of["phase"]
        if p["begin"] and any(a[0] <= p["at_ns"] <= a[1] for a in wanted)
    ]
    begun = collections.Counter((step[0], step[2]) for step in steps)
    assert begun == collections.Counter((p["at_ns"], p["action"]) for p in within)
    ended = collections.Counter((s[1], s[2]) for s in steps if "unfinished" not in s[4])
    assert not ended - collections.Counter(
        (p["at_ns"], p["action"]) for p in of["phase"] if not p["begin"]
    ), "a step ends where no phase does"

    # Sources: every pair of edges is a slice of exactly that length, except where events were lost or
    # names are shared: counters decide there.
    tracks = {}
    for uuid in export.named("Wakeup sources"):
        about = export.tracks[uuid].description
        tracks[int(about.split(" ")[1])] = uuid
    shared = {edge["instance"] for edge in of["edge"] if edge.get("shared")}
    pairs = 0
    for instance in {edge["instance"] for edge in of["edge"]} - shared:
        edges = sorted(
            (e for e in of["edge"] if e["instance"] == instance), key=lambda e: e["at_ns"]
        )
        own = {(s[0], s[1]) for s in slices[tracks[instance]]}
        for one, other in zip(edges, edges[1:]):
            if one["active"] and not other["active"] and not of["lost"]:
                assert (one["at_ns"], other["at_ns"]) in own, (instance, one, other)
                pairs += 1
        if not of["lost"] and not of["gap"]:
            begins = len([e for e in edges if e["active"]])
            assert begins <= len(own) <= begins + 1, (instance, begins, own)
    removed = [e for e in export.events if e[2].type == INSTANT and e[3] == "removed"]
    assert len(removed) == sum(len(s["gone"]) for s in of["snapshot"])
    held = [s for uuid in tracks.values() for s in slices[uuid]]
    going_on = [s for s in held if "unfinished" in s[4]]
    track = uuids["Sources held"]
    first = [e for e in export.events if e[2].type == COUNTER and e[1] == track]
    assert [e[2].counter_value for e in first] == [0]
    counted = [(stamp, value) for stamp, uuid, value in export.counted if uuid == track]
    assert len(counted) == 2 * len(held)
    assert not counted or counted[-1][1] == len(going_on)
    for stamp, value in dict(counted).items():
        open_ = [s for s in held if s[0] <= stamp and (stamp < s[1] or s in going_on)]
        assert value == len(open_), (stamp, value, open_)
    lengths = collections.Counter()
    for instance, uuid in tracks.items():
        lengths[instance] = sum(s[1] - s[0] for s in slices[uuid])
    for source in report["sources"]:
        assert lengths[source["instance"]] == source["held_ns"], source

    # The stack of each activation, the outermost frame first.
    activators = {}
    for a in of["activator"]:
        frames = a["frames"] or activators.get(a["id"], [])
        activators[a["id"]] = frames
    by, wanted = {}, collections.Counter()
    for record in records:
        if record["kind"] == "chunk":
            by = {}
        elif record["kind"] == "activated_by":
            by[record["instance"]] = record["activator"]
        elif record["kind"] == "edge" and record["active"] and record["instance"] in by:
            activator = next(a for a in of["activator"] if a["id"] == by[record["instance"]])
            frames = activators[activator["id"]]
            own = [activator["function"] + (f" [{activator['module']}]" if activator["module"] else "")]
            wanted[record["at_ns"], tracks[record["instance"]], tuple(frames or own)] += 1
    shown = lambda mapping, name, pc: (
        name + (f"+{pc:#x}" if pc else "") + ("" if mapping == "/kernel" else f" [{mapping}]")
    )
    stacks = collections.Counter(
        (stamp, track, tuple(shown(*frame) for frame in reversed(frames)))
        for stamp, track, frames in export.stacks
    )
    assert stacks == wanted, (stacks, wanted)

    # Waits, wakes, power supplies.
    threads = export.named("Waits for wakeup_count")
    waits = [s for uuid in threads for s in slices[uuid]]
    wanted = sorted((w["start_ns"], w["end_ns"]) for w in report["waits"])
    assert sorted((w[0], w[1]) for w in waits) == wanted, (waits, wanted)
    ends = [w["at_ns"] for w in of["wait_end"]]
    known_ends = collections.Counter(w[1] for w in waits if "unfinished" not in w[4])
    assert not known_ends - collections.Counter(ends), (waits, ends)
    instants = collections.Counter(e[1] for e in export.events if e[2].type == INSTANT)
    assert sum(instants[uuid] for uuid in threads) == len(of["count_write"])
    assert instants[uuids.get("Wakes", 0)] == len(of["wake"])
    quantities = export.named("Power supplies")
    counters = [e for e in export.events if e[2].type == COUNTER and e[1] in quantities]
    values = [s[key] for s in of["power_supply"] for key in ("capacity", "charge_uah", "current_ua")]
    assert sorted(e[2].counter_value for e in counters) == sorted(
        value for value in values if value is not None
    )
    return (
        f"{len(export.events)} track events on {len(export.tracks)} tracks, {pairs} pairs of edges, "
        f"{len(export.ftrace)} ftrace events, {len(attempts)} attempts, {len(waits)} waits"
    )


def main(export, dump, report):
    with open(export, "rb") as file:
        export = Export(file.read())
    with open(dump, encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    with open(report, encoding="utf-8") as file:
        report = json.load(file)
    print(check(export, records, report))


if __name__ == "__main__":
    main(*sys.argv[1:])
