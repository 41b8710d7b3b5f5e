//! The stacks of activations as Perfetto's callstacks, each sent once on the sequence of holds.

use std::collections::BTreeMap;

use super::proto::{Callstack, Frame, InternedData, InternedString, Mapping};
use crate::session::decode::Model;
use crate::text::one_line;

/// The mapping of functions that are in no module, as Perfetto's own kernel stacks have it.
const KERNEL: &str = "/kernel";

/// The numbers of all that was sent.
#[derive(Debug, Default)]
pub struct Stacks {
    /// By the activator's number; `None` if nothing is known of it.
    callstacks: BTreeMap<u32, Option<u64>>,
    functions: BTreeMap<String, u64>,
    mappings: BTreeMap<String, u64>,
    /// By function, mapping and offset.
    frames: BTreeMap<(u64, u64, u64), u64>,
    sent: u64,
}

/// A callstack, and the data to send before its first use.
pub type Stack = (u64, Option<InternedData>);

impl Stacks {
    /// The stack of an activator, or its function alone where no stack was recorded.
    pub fn of(&mut self, model: &Model, activator: u32) -> Option<Stack> {
        if let Some(known) = self.callstacks.get(&activator) {
            return known.map(|iid| (iid, None));
        }
        let mut new = InternedData::default();
        let frames: Vec<u64> = frames_of(model, activator)
            .iter()
            .rev()
            .map(|text| self.frame(text, &mut new))
            .collect();
        if frames.is_empty() {
            self.callstacks.insert(activator, None);
            return None;
        }
        self.sent += 1;
        let iid = self.sent;
        self.callstacks.insert(activator, Some(iid));
        new.callstacks.push(Callstack { iid: Some(iid), frame_ids: frames });
        Some((iid, Some(new)))
    }

    /// `name+0xoffset [module]`, where only the name is sure to be there.
    fn frame(&mut self, text: &str, new: &mut InternedData) -> u64 {
        let (code, module) = match text.strip_suffix(']').and_then(|text| text.rsplit_once(" [")) {
            Some((code, module)) => (code, module),
            None => (text, KERNEL),
        };
        let offset = code
            .rsplit_once("+0x")
            .and_then(|(name, offset)| Some((name, u64::from_str_radix(offset, 16).ok()?)));
        let (name, offset) = offset.unwrap_or((code, 0));
        let function = interned(&mut self.functions, name, &mut new.function_names);
        let known = self.mappings.contains_key(module);
        let mapping = interned(&mut self.mappings, module, &mut new.mapping_paths);
        if !known {
            new.mappings.push(Mapping { iid: Some(mapping), path_string_ids: vec![mapping] });
        }
        let next = self.frames.len() as u64 + 1;
        *self.frames.entry((function, mapping, offset)).or_insert_with(|| {
            new.frames.push(Frame {
                iid: Some(next),
                function_name_id: Some(function),
                mapping_id: Some(mapping),
                rel_pc: Some(offset),
            });
            next
        })
    }
}

/// The frames of an activator, the innermost first.
fn frames_of(model: &Model, activator: u32) -> Vec<String> {
    let Some(known) = model.activators.get(&activator) else { return Vec::new() };
    if !known.frames.is_empty() {
        return known.frames.clone();
    }
    let text = |id| String::from_utf8_lossy(model.text(id)).into_owned();
    let (function, module) = (text(known.function), text(known.module));
    if function.is_empty() {
        return Vec::new();
    }
    vec![if module.is_empty() { function } else { format!("{function} [{module}]") }]
}

fn interned(known: &mut BTreeMap<String, u64>, text: &str, new: &mut Vec<InternedString>) -> u64 {
    let next = known.len() as u64 + 1;
    *known.entry(text.to_owned()).or_insert_with(|| {
        let str = Some(one_line(text).into_bytes());
        new.push(InternedString { iid: Some(next), str });
        next
    })
}
