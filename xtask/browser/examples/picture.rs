//! Pictures of a saved report, light and dark: `picture REPORT.html NAME` leaves
//! `target/browser/NAME-light.png` and `NAME-dark.png`, and tells how soon it was drawn.

use std::env;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use sleepwalk_browser::page::Page;

fn main() -> Result<()> {
    let [report, name] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("two arguments: an HTML report, and a name for the pictures")?;
    let html = fs::read_to_string(&report).with_context(|| report.clone())?;
    let mut page = Page::open_html(&html)?;
    let Page { size, ready_ms, cpu_ms, .. } = &page;
    let kib = size >> 10;
    println!("{kib} KiB, drawn {ready_ms:.0} ms after it was opened, with {cpu_ms:.0} ms of CPU");
    println!("{}", page.screenshot(&format!("{name}-light"))?.display());
    page.media("screen", "dark")?;
    println!("{}", page.screenshot(&format!("{name}-dark"))?.display());
    ensure!(page.complaints.is_empty(), "{}", page.complaints.join("\n"));
    Ok(())
}
