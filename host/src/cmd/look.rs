//! The way a page looks: whether it is coloured, and how wide it is.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use terminal_size::{Width, terminal_size_of};

use crate::render::terminal::{Look, WIDEST};

/// The width of a terminal that does not know its own.
const USUAL: usize = 80;

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set; everywhere if CLICOLOR_FORCE is
    #[default]
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// Makes it the choice of the whole program.
    pub fn choose(self) {
        let choice = match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// Whether standard output takes colours: the flag decides, then NO_COLOR, CLICOLOR_FORCE, and the
/// terminal.
pub fn color() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// The look of a page in `file`, or on standard output. Only a terminal limits the width.
pub fn look(file: Option<&Path>) -> Look {
    match file {
        Some(_) => Look { color: ColorChoice::global() == ColorChoice::Always, width: None },
        None => {
            let stdout = io::stdout();
            let size = terminal_size_of(&stdout).map_or(USUAL, |(Width(width), _)| width.into());
            Look { color: color(), width: stdout.is_terminal().then_some(size.min(WIDEST)) }
        }
    }
}
