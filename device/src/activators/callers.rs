//! Stacks of the kernel's functions, and in each the function that activated the source.

use std::collections::HashMap;
use std::rc::Rc;

use super::symbols::{Symbol, Symbols};

/// The functions through which a driver activates a source (`drivers/base/power/wakeup.c`, 5.10 to 7.3), and those
/// that hand it on to them (`include/linux/pm_wakeup.h`).
const CORE: [&str; 10] = [
    "wakeup_source_activate",
    "wakeup_source_report_event",
    "__pm_stay_awake",
    "pm_stay_awake",
    "__pm_wakeup_event",
    "pm_wakeup_event",
    "pm_wakeup_ws_event",
    "pm_wakeup_dev_event",
    "pm_wakeup_hard_event",
    "device_wakeup_trigger",
];

/// Stacks that are kept; beyond that, they are looked up again.
const KEPT: usize = 256;

/// The stack of an activation.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The function that called the core; empty if it is not known.
    pub function: String,
    /// The module that has it; empty for the kernel itself.
    pub module: String,
    /// The stack, the innermost function first; from the core on, if it is on it.
    pub frames: Vec<String>,
}

/// Finds stacks by the probe's keys.
pub struct Callers {
    /// The frames of a stack; `None` if the probe has no such key.
    stack: Box<dyn Fn(u64) -> Option<Vec<u64>>>,
    symbols: Option<Symbols>,
    known: HashMap<u64, Rc<Caller>>,
}

impl Callers {
    /// With the probe's stacks, and the kernel's symbols if they can be read.
    pub fn new(
        stack: impl Fn(u64) -> Option<Vec<u64>> + 'static,
        symbols: Option<Symbols>,
    ) -> Self {
        Self { stack: Box::new(stack), symbols, known: HashMap::new() }
    }

    /// The stack of this key.
    pub fn of(&mut self, key: u64) -> Rc<Caller> {
        if let Some(known) = self.known.get(&key) {
            return Rc::clone(known);
        }
        let caller = Rc::new(self.look_up(key).unwrap_or_default());
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(key, Rc::clone(&caller));
        caller
    }

    fn look_up(&mut self, key: u64) -> Option<Caller> {
        let frames = (self.stack)(key)?;
        let symbols = self.symbols.as_mut()?;
        if let Err(error) = symbols.refresh() {
            log::warn!("the kernel's symbols cannot be read again: {error:#}");
            self.symbols = None;
            return None;
        }
        let found = frames.iter().map(|address| {
            // A return address is behind the call, which may be the function's last instruction.
            let call = symbols.at(address.wrapping_sub(4));
            call.unwrap_or_else(|error| {
                log::warn!("the kernel's symbols: {error:#}");
                None
            })
        });
        Some(caller(&found.collect::<Vec<_>>()))
    }
}

/// The caller on a stack: the first function after those of the core.
fn caller(stack: &[Option<Symbol>]) -> Caller {
    let is_core = |symbol: &Symbol| CORE.contains(&plain(&symbol.name));
    let is_core = |symbol: &&Option<Symbol>| symbol.as_ref().is_some_and(is_core);
    // Before it are the functions of the tracepoint.
    let core = stack.iter().position(|symbol| is_core(&symbol));
    let stack = &stack[core.unwrap_or(0)..];
    let above = stack.iter().find(|symbol| !is_core(symbol)).filter(|_| core.is_some());
    let above = above.and_then(Option::as_ref);
    Caller {
        function: above.map(|symbol| plain(&symbol.name).to_owned()).unwrap_or_default(),
        module: above.map(|symbol| symbol.module.clone()).unwrap_or_default(),
        frames: stack.iter().map(frame).collect(),
    }
}

/// The name in the source: compilers append `.isra.0`, `.constprop.0`, `.llvm.123`, `.cold`.
fn plain(name: &str) -> &str {
    name.split_once('.').filter(|(plain, _)| !plain.is_empty()).map_or(name, |(plain, _)| plain)
}

fn frame(symbol: &Option<Symbol>) -> String {
    match symbol {
        None => "?".to_owned(),
        Some(Symbol { name, module, offset }) if module.is_empty() => {
            format!("{name}+{:#x}", offset + 4)
        }
        Some(Symbol { name, module, offset }) => format!("{name}+{:#x} [{module}]", offset + 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(names: &[&str]) -> Vec<Option<Symbol>> {
        let symbol = |name: &&str| {
            let (name, module) = name.split_once('@').unwrap_or((name, ""));
            let known = !name.is_empty();
            known.then(|| Symbol { name: name.to_owned(), module: module.to_owned(), offset: 8 })
        };
        names.iter().map(symbol).collect()
    }

    #[test]
    fn the_caller_is_above_the_core() {
        let found = caller(&stack(&[
            "bpf_prog_1@bpf",
            "bpf_trace_run2",
            "wakeup_source_report_event.isra.0",
            "__pm_stay_awake",
            "gpio_keys_gpio_isr@gpio_keys",
            "__handle_irq_event_percpu",
        ]));
        assert_eq!((&*found.function, &*found.module), ("gpio_keys_gpio_isr", "gpio_keys"));
        assert_eq!(found.frames[2], "gpio_keys_gpio_isr+0xc [gpio_keys]");
        assert_eq!(found.frames[0], "wakeup_source_report_event.isra.0+0xc");
    }

    #[test]
    fn an_unknown_caller_is_not_guessed() {
        for names in [
            &["wakeup_source_report_event", "", "gpio_keys_gpio_isr"][..],
            &["gpio_keys_gpio_isr", "__handle_irq_event_percpu"],
            &["__pm_stay_awake"],
            &[],
        ] {
            let found = caller(&stack(names));
            assert_eq!((&*found.function, found.frames.len()), ("", names.len()), "{names:?}");
        }
    }

    #[test]
    fn a_stack_is_looked_up_once() {
        let asked = Rc::new(std::cell::Cell::new(0));
        let count = Rc::clone(&asked);
        let mut callers = Callers::new(
            move |key| {
                count.set(count.get() + 1);
                (key == 7).then(|| vec![1, 2])
            },
            None,
        );
        for key in [7, 7, 9, 9] {
            assert_eq!(*callers.of(key), Caller::default());
        }
        assert_eq!(asked.get(), 2);
        for key in 100..100 + 2 * KEPT as u64 {
            callers.of(key);
        }
        assert!(callers.known.len() <= KEPT);
    }
}
