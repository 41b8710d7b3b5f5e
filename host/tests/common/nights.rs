//! Made traces that several tests share.

use sleepwalk_trace::record::Reason;

use super::{MS, Maker, S};

/// A session like one of a phone in a pocket: sleeps, aborts, a busy source, an odd name.
pub fn everyday() -> Vec<u8> {
    let mut m = Maker::new();
    let modem = m.source(b"modem_rx", 40);
    let wlan = m.source(b"wlan_rx_wake", 7);
    let alarm = m.source(b"alarmtimer.0.auto", 3);
    let usb = m.source(b"a600000.ssusb-very-long-name-of-a-bus-device", 1);
    let odd = m.source(b"evil\x1b[31m\xff\n", 0);
    for name in ["battery", "touch", "eventpoll", "eventpoll", "rtc0"] {
        m.source(name.as_bytes(), 0);
    }
    m.activate(usb).wait(20 * S);
    m.snapshot(Reason::Start).commit();
    m.wait(12 * S).relax(usb);
    for round in 0..4 {
        m.wait(3 * S).sleep(90 * S + round * 7 * S, Some(alarm));
        m.wait(800 * MS).relax(alarm);
    }
    m.wait(9 * S).snapshot(Reason::Tick).commit();
    for _ in 0..5 {
        m.wait(2 * S).aborted_in_sync(modem, 120 * MS);
    }
    // Two at once: which one it was cannot be known.
    m.activate(wlan);
    m.wait(S).aborted_in_sync(modem, 40 * MS);
    m.wait(2 * S).relax(wlan);
    // A wakeup that is pending when the machine is reached.
    m.wait(S).down(1, "").activate(wlan);
    m.phase("machine_suspend", 1, true).wait(20_000).phase("machine_suspend", 1, false);
    m.up().returned(0).wait(MS).snapshot(Reason::AttemptEnd).commit();
    m.wait(MS).relax(wlan);
    // A driver that refuses.
    m.wait(S).down(1, "dpm_suspend_late").wait(300 * MS).returned(-19);
    m.wait(MS).snapshot(Reason::AttemptEnd).commit();
    m.wait(5 * S).activate(odd).wait(40 * MS).relax(odd);
    m.wait(S).finish()
}

/// A night with all that can be hooked: a charger at first, alarms in step, a modem that blocks and
/// aborts, sources that share a name, a driver that refuses.
pub fn night() -> Vec<u8> {
    let mut m = Maker::full();
    let [modem, wlan, alarm, sync, odd] =
        ["modem_rx", "wlan_rx_wake", "alarmtimer.0.auto", "sync_job", "evil\x1b[31m|=cmd()<b>"]
            .map(|name| m.source(name.as_bytes(), 3));
    let polls = [m.source(b"eventpoll", 0), m.source(b"eventpoll", 0)];
    m.source(b"touch", 0);
    m.snapshot(Reason::Start);
    m.supply("", None, Some(1));
    m.supply("Charging", Some(3_000_000), None);
    m.commit().wait(60 * S);
    m.supply("Charging", Some(3_008_000), None);
    m.wait(30 * S).supply("", None, Some(0));
    m.supply("Discharging", Some(3_010_000), None);
    // The screen goes off: user space asks, and a job that syncs holds it up.
    m.activate(sync).wait(5 * S).wait_begin(412).wait(30 * S).activate(modem).wait(4 * S);
    m.relax(modem).wait(11 * S).relax(sync).wait_end(412).wait(MS).save(true);
    let mut charge = 3_009_000;
    for round in 0..5 {
        m.supply("Discharging", Some(charge), None);
        charge -= 1_500;
        m.down(1, "").phase("machine_suspend", 1, true).wait(290 * S);
        m.woken_by(23, "rtc-alarm").phase("machine_suspend", 1, false);
        m.phase("dpm_resume_early", 16, true).wait(MS).activate(alarm).wait(MS);
        m.phase("dpm_resume_early", 16, false).phase("thaw_processes", 0, true).wait(MS);
        m.phase("thaw_processes", 0, false).wait(MS).returned(0);
        m.wait(MS).snapshot(Reason::AttemptEnd);
        m.supply("Discharging", Some(charge), None);
        m.shared(polls[1], polls[0], true).wait(200 * MS).shared(polls[1], polls[0], false);
        m.wait(S + round * MS).wait_begin(412).wait(6 * S).relax(alarm).wait_end(412);
        m.wait(MS).save(true).wait(MS).commit();
        charge -= 400;
    }
    // A storm that the modem keeps up.
    for _ in 0..7 {
        m.aborted_in_sync(modem, 60 * MS).wait(100 * MS).wait_begin(412).wait(20 * MS);
        m.wait_end(412).wait(MS).save(true);
    }
    m.wait(S).down(1, "").activate(wlan).wait(MS).phase("machine_suspend", 1, true).wait(20_000);
    m.phase("machine_suspend", 1, false).up().returned(0).wait(MS).snapshot(Reason::AttemptEnd);
    m.wait(MS).relax(wlan);
    for _ in 0..3 {
        m.wait(4 * S).down(1, "dpm_suspend_late").wait(300 * MS).up().returned(-19);
        m.wait(MS).snapshot(Reason::AttemptEnd).commit();
    }
    m.activate(odd).wait(40 * MS).relax(odd).lost(17).wait(MS).snapshot(Reason::Lost);
    m.wait(20 * S).finish()
}
