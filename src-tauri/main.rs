//! The command line: `tollbar`. It never links GTK or WebKit.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollbar_app::cli::main()
}
