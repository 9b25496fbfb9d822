//! `tollbar run`: a command whose calls go through the proxy, and only this one's.
//!
//! It fails open: where no engine answers, the command runs as it would without tollbar. It fails closed where another user has the proxy's
//! port: keys and prompts would be theirs.

mod afterwards;

use super::warn;
use crate::{
    attribution::Projects,
    config::{Config, Home},
    connect::{self, Client, Launch, Surroundings, address::Directory, check::Port, shims::Shims},
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
/// The project of an outer run, for the ones inside it.
const PROJECT: &str = "TOLLBAR_RUN_PROJECT";

#[derive(Debug, Args)]
#[command(after_help = "Example: tollbar run -- claude -p \"what is this?\"")]
pub(super) struct Run {
    /// The project of its calls, instead of the repository that this folder lies in
    #[arg(long)]
    project: Option<String>,
    /// Of a client that was started by another command of a run
    #[arg(long, hide = true)]
    inner: bool,
    /// Waits for the process behind standard input, and says whether it made a call
    #[arg(long, hide = true, value_name = "CLIENT")]
    afterwards: Option<String>,
    #[arg(long, hide = true, default_value_t)]
    carried: u64,
    #[arg(long, hide = true)]
    detached: bool,
    /// The command and its arguments
    #[arg(required_unless_present = "afterwards", trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What of the command is to be said when it has ended.
struct Pointed {
    launch: Launch,
    program: OsString,
    path: Option<OsString>,
    home: Option<Home>,
}

impl Run {
    pub(super) fn run(self) -> ExitCode {
        if let Some(client) = &self.afterwards {
            return afterwards::run(client, self.carried, self.detached);
        }
        let Some(program) = self.command.first() else { return ExitCode::FAILURE };
        let name = Path::new(program).file_stem().unwrap_or_default().to_string_lossy();
        let pointed = match self.pointed() {
            Ok(pointed) => pointed,
            Err(Unpointed::Foreign(address, uid)) => {
                warn(format_args!(
                    "error: {address}, the proxy's address, is held by another user (uid {uid}): keys and prompts sent there are theirs\n\
                     hint: run {name} without `tollbar run`, or choose another port with `proxy.listen` in the configuration"
                ));
                return ExitCode::FAILURE;
            }
            Err(Unpointed::None(cause)) => {
                warn(format_args!("tollbar: {cause}; {name} runs without it, and its calls are not metered here"));
                Pointed { launch: Launch::unpointed(&self.command), program: program.clone(), path: env::var_os("PATH"), home: None }
            }
        };
        for note in &pointed.launch.notes {
            warn(format_args!("tollbar: {note}"));
        }
        if let (Some(client), Some(home)) = (pointed.launch.client, &pointed.home) {
            afterwards::start(client, &pointed.launch.arguments, home);
        }
        let mut command = process::Command::new(&pointed.program);
        command.args(&pointed.launch.arguments).envs(pointed.launch.variables);
        pointed.path.map(|path| command.env("PATH", path));
        self.project.as_ref().map(|project| command.env(PROJECT, project));
        let error = become_it(&mut command);
        warn(format_args!("error: cannot run {}: {error}\nhint: check its name, and that it is on your PATH", program.to_string_lossy()));
        ExitCode::from(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE })
    }

    /// The command with its calls pointed at the proxy, or why it cannot be.
    fn pointed(&self) -> Result<Pointed, Unpointed> {
        let home = Home::find().map_err(|fault| Unpointed::None(fault.message))?;
        let config = Config::read(&home).map_err(|fault| Unpointed::None(fault.message))?;
        let address = connect::proxy_address(&home, &config);
        match connect::port(address, &home) {
            Port::Proxy => {}
            Port::Foreign(uid) => return Err(Unpointed::Foreign(format!("http://{address}"), uid)),
            Port::Silent | Port::Other => {
                return Err(Unpointed::None(format!("no engine answers at http://{address} (start one with `tollbar serve`)")));
            }
        }
        let folder = env::current_dir().unwrap_or_default();
        let of_folder = || Some(Projects::new(env::var_os("HOME").map(PathBuf::from)).of_folder(folder.to_str()?)?.name);
        let project = self.project.clone().or_else(|| env::var(PROJECT).ok().filter(|_| self.inner)).or_else(of_folder);
        let path = env::var_os("PATH");
        // Without a folder for them only clients that are run directly are pointed by arguments.
        let shims = Some(Shims::under(&home.state));
        let shims = shims.filter(|shims| env::current_exe().is_ok_and(|program| shims.write(&program, path.as_deref()).is_ok()));
        let mut launch = Launch::pointed(
            &self.command,
            &Surroundings {
                root: &connect::root(address, project.as_deref()),
                directory: Directory {
                    proxy: address,
                    upstreams: &config.upstreams,
                    is_taken: &|address| connect::is_taken(address, &home),
                },
                env: &|name| env::var(name).ok(),
                file: &connect::file_text,
                folder: &folder,
            },
        );
        if launch.needs_login {
            match connect::write_companions(Client::Gemini, &home, &|name| env::var(name).ok()) {
                Ok(files) => launch.notes.extend(files.iter().map(|file| {
                    let file = file.display();
                    format!("chose the login with a key in {file}, without which gemini does not start here; `tollbar connect gemini --undo` takes it away")
                })),
                Err(fault) => launch.without_gemini(&fault.message),
            }
        }
        let program = self.command.first().cloned().unwrap_or_default();
        let (program, path) = match &shims {
            // A client that is run directly has its arguments, and what it finds on its PATH are no stand-ins.
            Some(shims) if self.inner || launch.client.is_some() => {
                let found = program.to_str().filter(|name| !name.contains('/')).and_then(|name| shims.find(name, path.as_deref()));
                (found.map_or(program, OsString::from), shims.without(path.as_deref()))
            }
            Some(shims) => (program, shims.before(path.as_deref())),
            None => (program, path),
        };
        Ok(Pointed { launch, program, path, home: Some(home) })
    }
}

/// Why a command is not pointed at the proxy.
enum Unpointed {
    /// Another user listens there: address and number.
    Foreign(String, u32),
    /// Nobody does, or it is not known where.
    None(String),
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
