//! Stand-ins for clients that variables alone do not point, so that one that is started by a shell or a script is pointed as well.

use super::{command, settings::Client};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// The clients that need arguments, or a setting.
const CLIENTS: [Client; 3] = [Client::Codex, Client::ClaudeCode, Client::Gemini];

/// The stand-ins of one home.
#[derive(Clone, Debug)]
pub struct Shims {
    folder: PathBuf,
}

impl Shims {
    /// Where they are under the folder of what may be lost.
    pub fn under(state: &Path) -> Shims {
        Shims { folder: state.join("run/bin") }
    }

    /// Writes the stand-ins of clients that are found in `path`. Each runs `program run -- CLIENT`.
    pub fn write(&self, program: &Path, path: Option<&OsStr>) -> io::Result<()> {
        private_folder(&self.folder)?;
        for client in CLIENTS {
            let name = command::program(client);
            let shim = self.folder.join(name);
            if self.find(name, path).is_some() && cfg!(unix) {
                let quoted = program.to_string_lossy().replace('\'', "'\\''");
                let text = format!(
                    "#!/bin/sh\n# Written by `tollbar run`, so that {name} is metered in a shell as well.\nexec '{quoted}' run --inner -- {name} \"$@\"\n"
                );
                write(&shim, &text)?;
            } else if shim.exists() {
                // A script that looks for the client must not find one that is gone.
                fs::remove_file(&shim)?;
            }
        }
        Ok(())
    }

    /// `path` with the stand-ins before all else.
    pub fn before(&self, path: Option<&OsStr>) -> Option<OsString> {
        let rest = self.without(path)?;
        env::join_paths(std::iter::once(self.folder.clone()).chain(env::split_paths(&rest))).ok()
    }

    /// `path` without the stand-ins.
    pub fn without(&self, path: Option<&OsStr>) -> Option<OsString> {
        env::join_paths(env::split_paths(path?).filter(|folder| *folder != self.folder)).ok()
    }

    /// The program of that name in `path`, no stand-in.
    pub fn find(&self, name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
        let rest = self.without(path)?;
        env::split_paths(&rest).map(|folder| folder.join(name)).find(|file| is_program(file))
    }
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Writes a script whole, if it does not say so already.
fn write(file: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let mut new = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    new.write_all(text.as_bytes())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        new.as_file().set_permissions(fs::Permissions::from_mode(0o700))?;
    }
    new.persist(file)?;
    Ok(())
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}
