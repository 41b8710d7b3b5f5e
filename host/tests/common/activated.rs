//! A trace with activators.

use sleepwalk_trace::record::{
    ActivatedBy, Activator, LEVEL_HARD_IRQ, LEVEL_THREAD, Reason, Record, SourceDevice,
};

use super::{MS, Maker};

/// Two sources: one is held by a process for 30 ms, twice, and by an interrupt for 5 ms; the other has no activator.
pub fn activated() -> Vec<u8> {
    let mut maker = Maker::full();
    let (wlan, quiet) = (maker.source(b"wlan_rx", 0), maker.source(b"quiet", 0));
    let [function, isr, module, kernel, comm, empty] =
        [&b"cnss_wake"[..], b"wlan_isr", b"wlan", b"", b"cnss|daemon", b""].map(|t| maker.text(t));
    let [path, driver] = [&b"platform/soc/wlan"[..], b"cnss2"].map(|text| maker.text(text));
    let device = SourceDevice { source: wlan, path, driver, compatible: empty, irq: None };
    maker.push(Record::SourceDevice(device));
    maker.snapshot(Reason::Start).wait(MS);
    let frames = vec!["__pm_stay_awake+0x4".to_owned(), "cnss_wake+0x10 [wlan]".to_owned()];
    maker.push(Record::Activator(Activator {
        id: 1,
        function,
        module,
        level: LEVEL_THREAD,
        process: 812,
        thread: 813,
        uid: 1000,
        comm,
        frames,
    }));
    let interrupt = Activator {
        id: 2,
        function: isr,
        module: kernel,
        level: LEVEL_HARD_IRQ,
        comm: empty,
        ..Activator::default()
    };
    maker.push(Record::Activator(interrupt));
    for (activator, ns) in [(1, 30 * MS), (2, 5 * MS), (1, 30 * MS)] {
        maker.push(Record::ActivatedBy(ActivatedBy { source: wlan, activator }));
        maker.activate(wlan).wait(ns).relax(wlan).wait(MS);
    }
    maker.activate(quiet).wait(MS).relax(quiet).wait(MS);
    // In another chunk the source has no activator until it is said again.
    maker.commit();
    maker.activate(wlan).wait(2 * MS).relax(wlan).wait(MS);
    maker.snapshot(Reason::End).finish()
}
