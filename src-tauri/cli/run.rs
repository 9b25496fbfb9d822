//! `tollbar run`: a command whose calls go through the proxy, and only this one's.
//!
//! It fails open: where no engine answers, the command runs as it would without us.

use super::warn;
use crate::{
    attribution::Projects,
    config::{Config, Home},
    connect::{self, Pointed},
};
use clap::Args;
use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

/// What shells say of a command that is not there, and of one that cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUNNABLE: u8 = 126;

#[derive(Debug, Args)]
#[command(after_help = "Example: tollbar run -- claude -p \"what is this?\"")]
pub(super) struct Run {
    /// The project of its calls, instead of the repository that this folder lies in
    #[arg(long)]
    project: Option<String>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(super) fn run(self) -> ExitCode {
        let Some((program, arguments)) = self.command.split_first() else { return ExitCode::FAILURE };
        let name = Path::new(program).file_stem().unwrap_or_default().to_string_lossy();
        let pointed = match self.root() {
            Ok(root) => connect::pointed(&name, &root, &|name| env::var(name).ok()),
            Err(cause) => {
                warn(format_args!("tollbar: {cause}; {name} runs without it, and its calls are not metered here"));
                Pointed::default()
            }
        };
        if !pointed.kept.is_empty() {
            warn(format_args!("tollbar: left as you set it: {}; calls that go there are not metered here", pointed.kept.join(", ")));
        }
        let mut command = process::Command::new(program);
        command.args(&pointed.arguments).args(arguments).envs(pointed.variables);
        let error = become_it(&mut command);
        warn(format_args!("error: cannot run {}: {error}\nhint: check its name, and that it is on your PATH", program.to_string_lossy()));
        ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE })
    }

    /// The proxy's address with the project of this folder, or why there is none.
    fn root(&self) -> Result<String, String> {
        let home = Home::find().map_err(|fault| fault.message)?;
        let config = Config::read(&home).map_err(|fault| fault.message)?;
        let address = connect::proxy_address(&home, &config);
        if !connect::answers(address) {
            return Err(format!("no engine answers at http://{address} (start one with `tollbar serve`)"));
        }
        let folder = || {
            let user = env::var_os("HOME").map(PathBuf::from);
            Some(Projects::new(user).of_folder(env::current_dir().ok()?.to_str()?)?.name)
        };
        Ok(connect::root(address, self.project.clone().or_else(folder).as_deref()))
    }
}

/// Becomes the command, so that its exit code, the signals that it gets and its terminal are its own. Returns only if that fails.
#[cfg(unix)]
fn become_it(command: &mut process::Command) -> io::Error {
    let error = std::os::unix::process::CommandExt::exec(command);
    crate::diagnostics::survive_closed_pipes();
    error
}

/// Runs the command and ends with its exit code. Returns only if it cannot be started.
#[cfg(not(unix))]
fn become_it(command: &mut process::Command) -> io::Error {
    match command.status() {
        Ok(status) => process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
