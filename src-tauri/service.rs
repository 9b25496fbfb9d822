//! The engine as a service of the user's: begun with the session, begun again when it ends. A systemd user unit on Linux; a launchd
//! agent on macOS, which was never tried on one.

use events::query::{Fault, FaultCode};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

const UNIT: &str = "tollbar.service";
const LABEL: &str = "dev.tollbar.engine";

/// What the service gives up (systemd.exec(5)): only what a service manager of a user's can take away by seccomp and limits.
///
/// All that needs a namespace (`ProtectSystem`, `PrivateTmp` and others) would put the engine into a user namespace of its own: it could no
/// longer see whose process calls, and would not start at all where such namespaces are switched off.
const HARDENING: &str = "UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
";

/// How the service stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// Its file.
    pub file: PathBuf,
    /// Whether that is there.
    pub installed: bool,
    /// Whether the system runs it now; `None` where the system cannot be asked.
    pub active: Option<bool>,
}

/// Whether the service's file is there.
pub fn is_installed(env: &dyn Fn(&str) -> Option<String>) -> bool {
    file(env).is_file()
}

/// How it stands.
pub fn standing(env: &dyn Fn(&str) -> Option<String>) -> Standing {
    let file = file(env);
    let asked = if cfg!(target_os = "macos") {
        Command::new("launchctl").args(["list", LABEL]).output()
    } else {
        Command::new("systemctl").args(["--user", "is-active", UNIT]).output()
    };
    Standing { installed: file.is_file(), file, active: asked.ok().map(|output| output.status.success()) }
}

/// Writes the service's file for this program and this home, and starts it. On an error nothing is left.
pub fn install(program: &Path, home: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Fault> {
    let file = file(env);
    let text = if cfg!(target_os = "macos") { agent(program, home) } else { unit(program, home) };
    let cannot = |error: io::Error| {
        Fault::new(FaultCode::Storage, format!("cannot write {}: {error}", file.display()), "check that the folder belongs to you")
    };
    fs::create_dir_all(file.parent().unwrap_or(Path::new("."))).map_err(cannot)?;
    let before = fs::read(&file).ok();
    fs::write(&file, text).map_err(cannot)?;
    let done = if cfg!(target_os = "macos") {
        system("launchctl", &["load", "-w", &file.to_string_lossy()])
    } else {
        // One that runs already runs an older program.
        system("systemctl", &["--user", "daemon-reload"])
            .and_then(|()| system("systemctl", &["--user", "enable", UNIT]))
            .and_then(|()| system("systemctl", &["--user", "restart", UNIT]))
    };
    match done {
        Ok(()) => Ok(file),
        Err(fault) => {
            // What cannot be put back either is told of by `tollbar service status`.
            let _ = match before {
                Some(before) => fs::write(&file, before),
                None => fs::remove_file(&file),
            };
            Err(fault)
        }
    }
}

/// Stops the service and removes its file; whether there was one.
pub fn remove(env: &dyn Fn(&str) -> Option<String>) -> Result<bool, Fault> {
    let file = file(env);
    if !file.is_file() {
        return Ok(false);
    }
    if cfg!(target_os = "macos") {
        system("launchctl", &["unload", "-w", &file.to_string_lossy()])?;
    } else {
        system("systemctl", &["--user", "disable", "--now", UNIT])?;
    }
    fs::remove_file(&file)
        .map_err(|error| Fault::new(FaultCode::Storage, format!("cannot remove {}: {error}", file.display()), "remove it by hand"))?;
    if !cfg!(target_os = "macos") {
        system("systemctl", &["--user", "daemon-reload"])?;
    }
    Ok(true)
}

/// Where the service's file stands.
fn file(env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let given = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = given("HOME").unwrap_or_default();
    if cfg!(target_os = "macos") {
        home.join("Library/LaunchAgents").join(format!("{LABEL}.plist"))
    } else {
        given("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("systemd/user").join(UNIT)
    }
}

fn system(program: &str, arguments: &[&str]) -> Result<(), Fault> {
    let hint = "run `tollbar serve` in your session's autostart instead, or use the desktop app";
    let said = format!("`{program} {}` failed", arguments.join(" "));
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let cause = String::from_utf8_lossy(&output.stderr);
            Err(Fault::new(FaultCode::Unreachable, format!("{said}: {}", cause.lines().next().unwrap_or("it says nothing")), hint))
        }
        Err(error) => Err(Fault::new(FaultCode::Unreachable, format!("{said}: {error}"), hint)),
    }
}

/// The unit: started again after a second whatever ended it but `tollbar stop`, since clients hang without it.
fn unit(program: &Path, home: Option<&str>) -> String {
    // systemd.syntax(7), systemd.service(5): quotes and backslashes are escaped, specifiers and variables are doubled.
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%"));
    let program = quoted(&program.to_string_lossy()).replace('$', "$$");
    let home = home.map(|home| format!("Environment={}\n", quoted(&format!("TOLLBAR_HOME={home}")))).unwrap_or_default();
    format!(
        "[Unit]\nDescription=Tollbar: what LLM calls cost\nStartLimitIntervalSec=0\n\n[Service]\nExecStart={program} serve\n{home}\
         Restart=on-failure\nRestartSec=1\n{HARDENING}\n[Install]\nWantedBy=default.target\n"
    )
}

fn agent(program: &Path, home: Option<&str>) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let home = home
        .map(|home| format!("  <key>EnvironmentVariables</key><dict><key>TOLLBAR_HOME</key><string>{}</string></dict>\n", escaped(home)));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>\n  <key>Label</key><string>{LABEL}</string>\n  <key>ProgramArguments</key><array><string>{}</string><string>serve</string></array>\n{}  \
         <key>RunAtLoad</key><true/>\n  <key>Umask</key><integer>63</integer>\n  \
         <key>HardResourceLimits</key><dict><key>Core</key><integer>0</integer></dict>\n  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n</dict></plist>\n",
        escaped(&program.to_string_lossy()),
        home.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_letters_stands_in_the_unit_as_itself() {
        let unit = unit(Path::new("/opt/my \"app\" 100%/$x/tollbar"), Some("/home/a b"));
        assert!(unit.contains("ExecStart=\"/opt/my \\\"app\\\" 100%%/$$x/tollbar\" serve\n"), "{unit}");
        assert!(unit.contains("Environment=\"TOLLBAR_HOME=/home/a b\"\n"));
        assert!(unit.contains("\nUMask=0077\nLimitCORE=0\nNoNewPrivileges=yes\n") && unit.contains("\n\n[Install]\n"), "{unit}");
        assert!(agent(Path::new("/a&b"), None).contains("<string>/a&amp;b</string><string>serve</string>"));
    }
}
