//! Records of each kind with any content.

use proptest::collection::vec;
use proptest::prelude::*;
use sleepwalk_trace::record::{
    ActivatedBy, Activator, CountWrite, Edge, End, EpollWaiter, Hook, HookRun, HookRuns, IrqDef,
    Lost, Note, Overhead, Phase, PowerSupply, Reason, Record, ServiceDump, Session, Snapshot,
    SourceDef, SourceDelta, SourceDevice, Stamped, StringDef, SuspendReturn, SuspendStats,
    WaitBegin, WaitEnd, Waiters, Wake, WakeReason,
};
use sleepwalk_trace::time::{BootNanos, MonoNanos};

fn session() -> impl Strategy<Value = Session> {
    let hook = any::<[String; 3]>().prop_map(|[what, how, why]| Hook { what, how, why });
    (any::<[String; 8]>(), vec(hook, 0..4), any::<(u32, u64, bool)>()).prop_map(
        |(strings, hooks, (page_size, interval_ns, edges))| {
            let [agent, device, kernel, machine, boot_id, fingerprint, source, serial] = strings;
            Session {
                agent,
                device,
                kernel,
                machine,
                page_size,
                boot_id,
                fingerprint,
                source,
                hooks,
                interval_ns,
                edges,
                serial,
            }
        },
    )
}

/// Also such as no agent writes.
fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let reason = prop::sample::select(vec![
        Reason::Start,
        Reason::Tick,
        Reason::AttemptBegin,
        Reason::AttemptEnd,
        Reason::End,
        Reason::Lost,
    ]);
    let delta = (any::<(u32, u8, u16)>(), vec(any::<u64>(), 0..12)).prop_map(
        |((instance, state, mask), deltas)| SourceDelta { instance, state, mask, deltas },
    );
    (reason, any::<(u64, u64, u32, u32)>(), any::<[bool; 3]>(), vec(delta, 0..9), any::<[u32; 3]>())
        .prop_map(|(reason, (mono, took_ns, seen, stored), flags, changed, gone)| {
            let [broken, late, full] = flags;
            Snapshot {
                reason,
                mono: MonoNanos(mono),
                took_ns,
                seen,
                stored,
                broken,
                late,
                full,
                changed,
                gone: gone.to_vec(),
            }
        })
}

fn of_activations() -> impl Strategy<Value = Record> {
    prop_oneof![
        (any::<[u32; 7]>(), any::<u8>(), vec(any::<String>(), 0..9)).prop_map(
            |([id, function, module, process, thread, uid, comm], level, frames)| {
                Record::Activator(Activator {
                    id,
                    function,
                    module,
                    level,
                    process,
                    thread,
                    uid,
                    comm,
                    frames,
                })
            }
        ),
        any::<[u32; 4]>().prop_map(|[name, process, uid, comm]| {
            Record::EpollWaiter(EpollWaiter { name, process, uid, comm })
        }),
        any::<([u32; 4], Option<u32>)>().prop_map(|([source, path, driver, compatible], irq)| {
            Record::SourceDevice(SourceDevice { source, path, driver, compatible, irq })
        }),
        (any::<(u32, String, u8, u64)>(), vec(any::<u8>(), 0..99)).prop_map(
            |((dump, service, status, took_ns), bytes)| {
                Record::ServiceDump(ServiceDump { dump, service, status, took_ns, bytes })
            }
        ),
        any::<(u32, u32)>().prop_map(|(source, activator)| {
            Record::ActivatedBy(ActivatedBy { source, activator })
        }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        session().prop_map(Record::Session),
        (any::<u32>(), vec(any::<u8>(), 0..200))
            .prop_map(|(id, bytes)| Record::String(StringDef { id, bytes })),
        any::<(u32, u32, bool, Option<u32>, u64, u64)>().prop_map(
            |(instance, name, name_cut, id, address, name_pointer)| {
                Record::Source(SourceDef { instance, name, name_cut, id, address, name_pointer })
            }
        ),
        any_snapshot().prop_map(Record::Snapshot),
        any::<(u32, i32, bool)>().prop_map(|(action, value, begin)| Record::Phase(Phase {
            action,
            value,
            begin
        })),
        any::<Option<i32>>().prop_map(|errno| Record::Return(SuspendReturn { errno })),
        any::<u64>().prop_map(|events| Record::Lost(Lost { events })),
        any::<[u64; 5]>().prop_map(
            |[cpu_ns, snapshots, snapshots_ns, snapshot_max_ns, bytes_written]| {
                Record::Overhead(Overhead {
                    cpu_ns,
                    snapshots,
                    snapshots_ns,
                    snapshot_max_ns,
                    bytes_written,
                })
            }
        ),
        any::<String>().prop_map(|reason| Record::End(End { reason })),
        any::<(u32, u8, Option<u32>)>().prop_map(|(source, flags, state)| Record::Edge(Edge {
            source,
            flags,
            state
        })),
        any::<u32>().prop_map(|thread| Record::WaitBegin(WaitBegin { thread })),
        any::<(u32, bool)>().prop_map(|(thread, idle)| Record::WaitEnd(WaitEnd { thread, idle })),
        any::<(u32, bool)>()
            .prop_map(|(thread, saved)| Record::CountWrite(CountWrite { thread, saved })),
        any::<(u32, u32, u32)>().prop_map(|(number, name, chip)| Record::Irq(IrqDef {
            number,
            name,
            chip
        })),
        any::<u32>().prop_map(|irq| Record::Wake(Wake { irq })),
        any::<((u32, u32, u32), [Option<i64>; 4])>().prop_map(|((name, kind, status), values)| {
            let [capacity, charge_uah, current_ua, online] = values;
            Record::PowerSupply(PowerSupply {
                name,
                kind,
                status,
                capacity,
                charge_uah,
                current_ua,
                online,
            })
        }),
        (vec(any::<(u32, u64)>(), 0..9), any::<(u32, i32, u32)>()).prop_map(
            |(counters, (last_device, last_errno, last_step))| {
                Record::SuspendStats(SuspendStats { counters, last_device, last_errno, last_step })
            }
        ),
        (any::<(String, String, u64, u32)>(), vec(any::<u32>(), 0..9)).prop_map(
            |((how, why, took_ns, seen), threads)| {
                Record::Waiters(Waiters { how, why, took_ns, seen, threads })
            }
        ),
        any::<(Option<u32>, Vec<u8>, Option<u32>)>().prop_map(
            |(irq, reason, freeze_timeout_ms)| {
                Record::WakeReason(WakeReason { irq, reason, freeze_timeout_ms })
            }
        ),
        vec(any::<(String, Option<u64>, Option<u64>)>(), 0..9).prop_map(|hooks| {
            let hooks = hooks.into_iter();
            let hooks = hooks.map(|(what, runs, missed)| HookRun { what, runs, missed });
            Record::HookRuns(HookRuns { hooks: hooks.collect() })
        }),
        any::<(String, String)>().prop_map(|(about, text)| Record::Note(Note { about, text })),
        of_activations(),
    ]
}

/// Any record, at any time.
pub fn stamped() -> impl Strategy<Value = Stamped> {
    (any::<u64>(), record()).prop_map(|(at, record)| Stamped { at: BootNanos(at), record })
}
