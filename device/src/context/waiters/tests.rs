//! The look at a `/proc` of our own making.

use std::os::unix::fs::symlink;

use super::*;

/// The files of one thread.
#[derive(Clone, Copy, Default)]
struct Task {
    wchan: &'static str,
    stat: &'static str,
    stack: &'static str,
    syscall: &'static str,
    /// The file with descriptor 3.
    file: &'static str,
}

const SLEEPS: &str = "7 (a) b) S 1 7 7 0 -1 4194560 1 0";
const KERNEL: &str = "7 (kworker/u4:1) S 2 0 0 0 -1 2129984 0 0";
const STACK: &str = "[<0>] pm_get_wakeup_count+0x138/0x1f0\n[<0>] wakeup_count_show+0x2c/0x70\n";
const READ: &str = "63 0x3 0xffffd8 0x1000 0x0 0x0 0x0 0xffffd0 0xffff91\n";

/// How, why and whether a thread waits.
fn look(task: Task) -> (String, bool, bool) {
    let proc = tempfile::tempdir().unwrap();
    let folder = proc.path().join("7/task/9");
    fs::create_dir_all(folder.join("fd")).unwrap();
    fs::create_dir_all(proc.path().join("sys")).unwrap();
    let files = [("wchan", task.wchan), ("stat", task.stat), ("stack", task.stack)];
    for (name, text) in files.into_iter().chain([("syscall", task.syscall)]) {
        fs::write(folder.join(name), text).unwrap();
    }
    let file = if task.file.is_empty() { "/dev/null" } else { task.file };
    symlink(file, folder.join("fd/3")).unwrap();
    let mut look = Look::default();
    look.walk(proc.path(), Instant::now() + LIMIT).unwrap();
    let waiters = look.result(Vec::new(), 5);
    assert_eq!((waiters.took_ns, waiters.seen), (5, 1));
    let waits = match waiters.threads[..] {
        [] => false,
        [9] => true,
        _ => panic!("{waiters:?}"),
    };
    (waiters.how, waiters.why.is_empty(), waits)
}

fn decided(how: &str, waits: bool) -> (String, bool, bool) {
    (how.to_owned(), true, waits)
}

#[test]
fn the_sleeping_function_decides() {
    let task = |wchan| Task { wchan, stat: SLEEPS, stack: STACK, file: FILE, ..Task::default() };
    assert_eq!(look(task("pm_get_wakeup_count")), decided("wchan", true));
    assert_eq!(look(task("pm_get_wakeup_count.llvm.77")), decided("wchan", true));
    assert_eq!(look(task("do_epoll_wait")), decided("wchan", false));
    assert_eq!(look(task("pm_get_wakeup_counts")), decided("wchan", false));
    // The scheduler's own functions say nothing.
    assert_eq!(look(task("__schedule")), decided("stack", true));
}

#[test]
fn the_stack_decides_without_wchan() {
    let task = Task { wchan: "0", stat: SLEEPS, stack: STACK, ..Task::default() };
    assert_eq!(look(task), decided("stack", true));
    let other = "[<0>] do_epoll_wait+0x1/0x2\n";
    assert_eq!(look(Task { stack: other, ..task }), decided("stack", false));
    let awake = "7 (a) R 1 7 7 0 -1 4194560 1 0";
    assert_eq!(look(Task { stat: awake, ..task }), decided("", false));
}

#[test]
fn the_file_being_read_decides_without_symbols() {
    let task = Task { wchan: "0", stat: SLEEPS, syscall: READ, file: FILE, ..Task::default() };
    assert_eq!(look(task), decided("syscall", true));
    assert_eq!(look(Task { file: "/dev/null", ..task }), decided("syscall", false));
    assert_eq!(look(Task { syscall: "running\n", ..task }), decided("syscall", false));
    let none = "-1 0x3 0xffff91\n";
    assert_eq!(look(Task { syscall: none, ..task }), decided("syscall", false));
    let pointer = "98 0xffffa01234567 0x0 0x0 0x0 0x0 0x0 0xffffd0 0xffff91\n";
    assert_eq!(look(Task { syscall: pointer, ..task }), decided("syscall", false));
}

#[test]
fn an_undecided_thread_is_counted() {
    let task = Task { wchan: "0", stat: SLEEPS, ..Task::default() };
    assert_eq!(look(task), (String::new(), false, false));
    // A thread of the kernel reads no file.
    let kernel = Task { stat: KERNEL, syscall: READ, file: FILE, ..task };
    assert_eq!(look(kernel), (String::new(), false, false));
}

#[test]
fn processes_without_time_are_counted() {
    let proc = tempfile::tempdir().unwrap();
    fs::create_dir_all(proc.path().join("7/task/9")).unwrap();
    let mut look = Look::default();
    look.walk(proc.path(), Instant::now()).unwrap();
    let waiters = look.result(vec!["a".to_owned()], 1);
    assert_eq!(waiters.why, "a; there was no time for 1 of 1 processes");
}

#[test]
fn a_wait_that_a_hook_saw_start_is_no_waiter() {
    let event = |kind| ProbeEvent { at: BootNanos(1), kind };
    let events = [
        event(EventKind::WaitBegin { thread: 1 }),
        event(EventKind::WaitEnd { thread: 2, idle: true }),
        event(EventKind::WaitBegin { thread: 2 }),
        event(EventKind::WaitEnd { thread: 1, idle: true }),
    ];
    let mut waiters = Waiters { threads: vec![1, 2, 3], ..Waiters::default() };
    without_recorded(&mut waiters, events.iter());
    assert_eq!(waiters.threads, [2, 3]);
}

#[test]
fn this_machine_can_be_looked_at() {
    let (_, waiters) = find();
    assert!(waiters.seen > 0, "{waiters:?}");
}
