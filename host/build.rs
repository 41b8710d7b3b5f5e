//! Embeds the agent: `SLEEPWALK_AGENT` names the file. Without it the program looks for the agent
//! beside itself, so that someone who only reads traces needs no toolchain for the device.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rustc-check-cfg=cfg(embedded_agent)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SLEEPWALK_AGENT");
    let Some(agent) = env::var_os("SLEEPWALK_AGENT").filter(|agent| !agent.is_empty()) else {
        return;
    };
    let agent = PathBuf::from(agent);
    let Some(out) = env::var_os("OUT_DIR") else {
        return;
    };
    println!("cargo::rerun-if-changed={}", agent.display());
    match fs::copy(&agent, PathBuf::from(out).join("sleepwalkd")) {
        Ok(_) => println!("cargo::rustc-cfg=embedded_agent"),
        Err(error) => println!("cargo::error=SLEEPWALK_AGENT={}: {error}", agent.display()),
    }
}
