//! `cargo xtask edges`: which crate may depend on which, by `docs/architecture.md`, checked against
//! cargo's resolution. Development dependencies are free; normal and build dependencies count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep};

use crate::{paths, sh};

/// Crate → the crates that it depends on directly.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// One crate's limits. A name that ends in `*` is for all that begin so.
struct Rule {
    package: &'static str,
    why: &'static str,
    /// When given, there are no other direct dependencies.
    only: Option<&'static [&'static str]>,
    /// Forbidden, over however many crates.
    never: &'static [&'static str],
}

const RULES: [Rule; 4] = [
    Rule {
        package: "sleepwalk-trace",
        why: "the contracts do no I/O and know neither the kernel nor a command line",
        only: Some(&["bincode", "crc", "humantime", "parse-size", "thiserror"]),
        never: &["aya*", "clap", "nix", "libc", "memmap2", "tokio", "mio", "async-*", "futures*"],
    },
    Rule {
        package: "sleepwalk-ebpf",
        why: "the probe runs in the kernel: the contract with the agent and aya's bindings, no more",
        only: Some(&["sleepwalk-trace", "aya-ebpf*"]),
        never: &["aya-log*"],
    },
    Rule {
        package: "sleepwalkd",
        why: "the agent is pushed over adb for every capture, so it stays small and knows no host",
        only: None,
        never: &["sleepwalk", "clap"],
    },
    Rule {
        package: "sleepwalk",
        why: "reading a trace needs no BPF; what the host knows of the device is in the trace",
        only: None,
        never: &["aya*", "sleepwalkd", "sleepwalk-ebpf"],
    },
];

/// Fails with every forbidden edge.
pub fn check() -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(paths::root()).exec()?;
    let broken = broken(&graph(&metadata)?);
    if !broken.is_empty() {
        bail!("forbidden dependencies:\n  {}", broken.join("\n  "));
    }
    sh::progress("the dependency edges are as designed");
    Ok(())
}

fn broken(graph: &Graph) -> Vec<String> {
    let mut broken = Vec::new();
    for rule in &RULES {
        let Some(direct) = graph.get(rule.package) else {
            broken.push(format!("{}: no such crate, but a rule for it", rule.package));
            continue;
        };
        if let Some(only) = rule.only {
            for name in direct.iter().filter(|name| !matches(only, name)) {
                broken.push(format!(
                    "{} → {name}: only {} may be here: {}",
                    rule.package,
                    only.join(", "),
                    rule.why
                ));
            }
        }
        for path in paths_to(graph, rule.package, rule.never) {
            broken.push(format!("{}: {}", path.join(" → "), rule.why));
        }
    }
    broken
}

/// The shortest way to each forbidden crate.
fn paths_to<'a>(graph: &'a Graph, from: &'a str, never: &[&str]) -> Vec<Vec<&'a str>> {
    let mut seen = BTreeSet::from([from]);
    let mut todo = VecDeque::from([vec![from]]);
    let mut found = Vec::new();
    while let Some(path) = todo.pop_front() {
        let last = path[path.len() - 1];
        for next in graph.get(last).into_iter().flatten() {
            if !seen.insert(next) {
                continue;
            }
            let mut longer = path.clone();
            longer.push(next);
            if matches(never, next) {
                found.push(longer);
            } else {
                todo.push_back(longer);
            }
        }
    }
    found
}

fn matches(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => *pattern == name,
    })
}

fn graph(metadata: &Metadata) -> Result<Graph> {
    let resolved = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let mut graph = Graph::new();
    for node in &resolved.nodes {
        // Versions of one name share an entry.
        let edges = graph.entry(metadata[&node.id].name.to_string()).or_default();
        let counted = node.deps.iter().filter(|dependency| counts(dependency));
        edges.extend(counted.map(|dependency| metadata[&dependency.pkg].name.to_string()));
    }
    Ok(graph)
}

fn counts(dependency: &NodeDep) -> bool {
    dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn designed() -> Graph {
        let mut graph = Graph::new();
        for (from, to) in [
            ("sleepwalk-trace", "bincode"),
            ("sleepwalk-ebpf", "sleepwalk-trace"),
            ("sleepwalk-ebpf", "aya-ebpf"),
            ("sleepwalkd", "sleepwalk-trace"),
            ("sleepwalkd", "aya"),
            ("sleepwalk", "sleepwalk-trace"),
            ("sleepwalk", "clap"),
        ] {
            graph.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
        graph
    }

    fn with(from: &str, to: &str) -> Vec<String> {
        let mut graph = designed();
        graph.entry(from.to_owned()).or_default().insert(to.to_owned());
        broken(&graph)
    }

    #[test]
    fn the_design_passes() {
        assert_eq!(broken(&designed()), Vec::<String>::new());
    }

    #[test]
    fn a_far_edge_is_named_with_its_path() {
        // Through a crate that everyone may use.
        let found = with("clap", "aya-obj");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("sleepwalk → clap → aya-obj: "), "{found:?}");
    }

    #[test]
    fn an_unlisted_direct_dependency_is_found() {
        let found = with("sleepwalk-trace", "serde");
        assert!(found[0].starts_with("sleepwalk-trace → serde: only bincode, crc"), "{found:?}");
        assert_eq!(with("sleepwalkd", "clap").len(), 1);
        // Both as unlisted and as forbidden.
        assert_eq!(with("sleepwalk-ebpf", "aya-log-ebpf").len(), 2);
    }

    #[test]
    fn a_renamed_crate_does_not_escape() {
        let mut graph = designed();
        graph.remove("sleepwalk");
        assert_eq!(broken(&graph), ["sleepwalk: no such crate, but a rule for it"]);
    }

    #[test]
    fn development_dependencies_are_free() {
        let dependency = |kinds: &[&str]| -> NodeDep {
            let kinds: Vec<_> = kinds.iter().map(|kind| json!({"kind": kind})).collect();
            serde_json::from_value(json!({"name": "b", "pkg": "b", "dep_kinds": kinds})).unwrap()
        };
        assert!(!counts(&dependency(&["dev"])));
        assert!(counts(&dependency(&["dev", "build"])));
    }
}
