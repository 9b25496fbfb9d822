//! Where programs keep their things, by the environment: on Linux, macOS and Windows, and on the Windows around a Linux.

use super::LISTED_MAX;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders in a folder, as far as it can be read.
pub(super) fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).take(LISTED_MAX).collect();
    folders.sort_unstable();
    folders
}

/// Where Windows' users have their homes as Linux within Windows sees them.
const USERS_OF_WINDOWS: &str = "/mnt/c/Users";
/// Homes there that are nobody's.
const NOBODYS: [&str; 5] = ["All Users", "Default", "Default User", "Public", "desktop.ini"];

pub(super) struct Places<'e> {
    pub(super) env: &'e dyn Fn(&str) -> Option<String>,
    pub(super) within: &'e dyn Fn(&Path) -> Vec<PathBuf>,
}

impl Places<'_> {
    fn set(&self, name: &str) -> Option<String> {
        (self.env)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The folders that the first of the variables names which is set, a comma list.
    pub(super) fn named(&self, variables: &[&str]) -> Option<Vec<PathBuf>> {
        let list = variables.iter().find_map(|name| self.set(name))?;
        Some(list.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(PathBuf::from).collect())
    }

    fn home_folder(&self) -> Option<PathBuf> {
        self.set("HOME").or_else(|| self.set("USERPROFILE")).map(PathBuf::from)
    }

    /// The homes on the Windows within which this Linux runs; none where it does not.
    fn homes_of_windows(&self) -> Vec<PathBuf> {
        if self.set("WSL_DISTRO_NAME").is_none() {
            return Vec::new();
        }
        let is_users = |home: &PathBuf| home.file_name().is_some_and(|name| NOBODYS.iter().all(|nobody| name != *nobody));
        (self.within)(Path::new(USERS_OF_WINDOWS)).into_iter().filter(is_users).collect()
    }

    pub(super) fn home(&self, folder: &str) -> Vec<PathBuf> {
        self.home_folder().into_iter().chain(self.homes_of_windows()).map(|home| home.join(folder)).collect()
    }

    pub(super) fn config(&self, folder: &str) -> Vec<PathBuf> {
        let config = self.set("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(self.home_folder()?.join(".config")));
        let of_windows = self.homes_of_windows().into_iter().map(|home| home.join(".config"));
        config.into_iter().chain(of_windows).map(|config| config.join(folder)).collect()
    }

    /// What Windows calls the data of programs that follows their user from machine to machine, and such as stays.
    fn app_data(&self, variable: &str, below_home: &str) -> Vec<PathBuf> {
        let of_windows = self.homes_of_windows().into_iter().map(|home| home.join(below_home));
        self.set(variable).map(PathBuf::from).into_iter().chain(of_windows).collect()
    }

    fn roaming(&self) -> Vec<PathBuf> {
        self.app_data("APPDATA", "AppData/Roaming")
    }

    fn local(&self) -> Vec<PathBuf> {
        self.app_data("LOCALAPPDATA", "AppData/Local")
    }

    /// What a desktop program keeps: with its settings on Linux, with its data on macOS and Windows.
    pub(super) fn app(&self, folder: &str) -> Vec<PathBuf> {
        let mac = self.home_folder().map(|home| home.join("Library/Application Support"));
        let data = mac.into_iter().chain(self.roaming()).map(|data| data.join(folder));
        self.config(folder).into_iter().chain(data).collect()
    }

    /// What a program from Windows' store keeps (MSIX): what it takes for its data is a folder of its package, `Claude_<id>` or
    /// `<publisher>.Claude_<id>`.
    pub(super) fn store_app(&self, name: &str, folder: &str) -> Vec<PathBuf> {
        let packages = self.local().into_iter().flat_map(|local| (self.within)(&local.join("Packages")));
        let is_its = |package: &PathBuf| {
            let package = package.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('_'));
            package.is_some_and(|(package, _)| package.rsplit('.').next() == Some(name))
        };
        packages.filter(is_its).map(|package| package.join("LocalCache/Roaming").join(folder)).collect()
    }

    /// A program's data: by XDG, by macOS, by Windows.
    pub(super) fn data(&self, folder: &str) -> Vec<PathBuf> {
        let xdg = self.set("XDG_DATA_HOME").map(PathBuf::from).or_else(|| Some(self.home_folder()?.join(".local/share")));
        let mac = self.home_folder().map(|home| home.join("Library/Application Support"));
        let of_windows = self.homes_of_windows().into_iter().map(|home| home.join(".local/share"));
        let data = xdg.into_iter().chain(mac).chain(of_windows).chain(self.roaming()).chain(self.local());
        data.map(|data| data.join(folder)).collect()
    }

    /// Cline's command line: its sessions, or the folder of its data, or the folder of that.
    pub(super) fn cline(&self) -> Vec<PathBuf> {
        let above = || self.named(&["CLINE_DIR"]).unwrap_or_else(|| self.home(".cline"));
        let data = || above().iter().map(|folder| folder.join("data")).collect();
        self.named(&["CLINE_SESSION_DATA_DIR", "CLINE_DATA_DIR"]).unwrap_or_else(data)
    }

    /// The stores of the Cline family in editors that are a Visual Studio Code.
    pub(super) fn editors(&self) -> Vec<PathBuf> {
        const EDITORS: [&str; 5] = ["Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf"];
        const EXTENSIONS: [&str; 3] = ["saoudrizwan.claude-dev", "rooveterinaryinc.roo-cline", "kilocode.kilo-code"];
        let stores = self.app("");
        let users = stores.iter().flat_map(|store| EDITORS.map(|editor| store.join(editor).join("User")));
        let users = users.chain(self.home(".vscode-server/data/User"));
        users.flat_map(|user| EXTENSIONS.map(|extension| user.join("globalStorage").join(extension))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Client, roots_among};
    use std::path::{Path, PathBuf};

    #[test]
    fn linux_within_windows_looks_into_the_homes_of_windows_users_and_another_linux_does_not() {
        let within = |folder: &Path| {
            let names: &[&str] = if folder == Path::new("/mnt/c/Users") {
                &["Public", "All Users", "ann", "bob"]
            } else if folder == Path::new("/mnt/c/Users/bob/AppData/Local/Packages") {
                &["Claude_pzs8sxrjxfjjc", "AnthropicPBC.Claude_abc", "Claudette_x", "Microsoft.Paint_8wekyb3d8bbwe"]
            } else {
                &[]
            };
            names.iter().map(|name| folder.join(name)).collect()
        };
        let vars = [("HOME", "/h"), ("WSL_DISTRO_NAME", "Ubuntu")];
        let env = |name: &str| vars.iter().find(|(var, _)| *var == name).map(|(_, value)| (*value).to_owned());
        let roots = |client| roots_among(client, &env, &within);
        let has = |client, path: &str| roots(client).contains(&PathBuf::from(path));
        assert_eq!(roots(Client::Codex), ["/h/.codex", "/mnt/c/Users/ann/.codex", "/mnt/c/Users/bob/.codex"].map(PathBuf::from));
        for path in [
            "/h/.claude",
            "/mnt/c/Users/ann/.claude",
            "/mnt/c/Users/bob/.config/claude",
            "/mnt/c/Users/bob/AppData/Roaming/Claude/local-agent-mode-sessions",
            "/mnt/c/Users/bob/AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude/local-agent-mode-sessions",
            "/mnt/c/Users/bob/AppData/Local/Packages/AnthropicPBC.Claude_abc/LocalCache/Roaming/Claude/local-agent-mode-sessions",
        ] {
            assert!(has(Client::ClaudeCode, path), "{path}");
        }
        let is_stray =
            |root: &PathBuf| ["Public", "All Users", "Claudette", "Paint"].iter().any(|word| root.to_string_lossy().contains(word));
        assert!(!roots(Client::ClaudeCode).iter().any(is_stray));
        assert!(
            has(Client::OpenCode, "/mnt/c/Users/ann/.local/share/opencode") && has(Client::Crush, "/mnt/c/Users/ann/AppData/Local/crush")
        );
        assert!(has(Client::Cline, "/mnt/c/Users/bob/AppData/Roaming/Code/User/globalStorage/saoudrizwan.claude-dev"));
        let elsewhere = |name: &str| env(name).filter(|_| name == "HOME");
        assert_eq!(roots_among(Client::Codex, &elsewhere, &within), [PathBuf::from("/h/.codex")]);
        // Its own variable names what is meant, on Windows too.
        let named = |name: &str| if name == "CODEX_HOME" { Some("/c".to_owned()) } else { env(name) };
        assert_eq!(roots_among(Client::Codex, &named, &within), [PathBuf::from("/c")]);
        let windows = |name: &str| (name == "LOCALAPPDATA").then(|| "/mnt/c/Users/bob/AppData/Local".to_owned());
        assert_eq!(roots_among(Client::ClaudeCode, &windows, &within).len(), 2, "the two packages");
    }
}
