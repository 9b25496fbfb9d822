//! Whose call is this: the project of a working folder, the program behind a user agent, the session in a request's headers.
//!
//! Names and ids only; nothing here reads a request's body or keeps a header whole.

mod visit;

use crate::regular;
use events::{Project, ProjectBy};
use std::{
    borrow::Cow,
    collections::HashMap,
    path::{Component, Path, PathBuf},
};
use visit::Visits;
pub(crate) use visit::{kind_of_mount, may_be_visited};

/// How many working folders are remembered; beyond that all are forgotten and asked again.
const FOLDERS_MAX: usize = 4096;
/// How many folders are climbed in search of a repository.
const CLIMB_MAX: usize = 64;
/// How much of a `.git` file or a `commondir` file is read.
const GIT_FILE_BYTES_MAX: u64 = 4096;
/// The longest name of a program or session that is kept.
const NAME_BYTES_MAX: usize = 128;

/// The projects of working folders, remembered, because every line of a log names its folder again.
///
/// A folder of another machine is not looked into, and one that does not answer is given up; both have only their own name.
#[derive(Debug, Default)]
pub struct Projects {
    home: Option<PathBuf>,
    known: HashMap<String, Option<Project>>,
    visits: Visits,
}

impl Projects {
    /// `home` is the user's home folder: work done right in it belongs to no project.
    pub fn new(home: Option<PathBuf>) -> Projects {
        Projects { home, ..Projects::default() }
    }

    /// The project of a working folder: the name of the repository it lies in, of the main one where that is a linked worktree; else the
    /// folder's own name. A folder that is gone has only its own name. The home folder and the root are no project.
    ///
    /// Folding worktrees matters: without it a quarter of all sessions land in projects that do not exist
    /// (log-formats, Claude Code, "Project").
    pub fn of_folder(&mut self, cwd: &str) -> Option<Project> {
        if let Some(known) = self.known.get(cwd) {
            return known.clone();
        }
        let folder = Path::new(cwd);
        if cwd.is_empty() || is_home_or_root(self.home.as_deref(), folder) {
            return None;
        }
        let project = |name| Some(Project { by: ProjectBy::Folder, name });
        let found = if may_be_visited(folder) {
            let (home, folder) = (self.home.clone(), folder.to_owned());
            let Some(found) = self.visits.look(cwd, move || repository_of(home.as_deref(), &folder)) else {
                // Not remembered: the folder may answer later.
                return last_name(Path::new(cwd)).and_then(project);
            };
            found
        } else {
            None
        };
        let found = found.or_else(|| last_name(folder)).and_then(project);
        if self.known.len() >= FOLDERS_MAX {
            self.known.clear();
        }
        self.known.insert(cwd.to_owned(), found.clone());
        found
    }

    /// The branch that is checked out in a working folder; `None` outside a repository and where no branch is (a commit of its own).
    pub fn branch_of_folder(&mut self, folder: &Path) -> Option<String> {
        let name = folder.to_str().filter(|_| may_be_visited(folder))?.to_owned();
        let folder = folder.to_owned();
        self.visits.look(&name, move || branch_of_folder(&folder))?
    }

    /// The folders that did not answer since this was last asked. Calls made there have only the folder's name as project.
    pub fn take_stalled(&mut self) -> Vec<String> {
        self.visits.take_stalled()
    }
}

/// The name of the repository that a folder lies in.
fn repository_of(home: Option<&Path>, folder: &Path) -> Option<String> {
    if !folder.is_dir() {
        return None;
    }
    for above in folder.ancestors().take(CLIMB_MAX) {
        // A home kept under git (dotfiles) is not the project of all that lies in it.
        if is_home_or_root(home, above) {
            break;
        }
        let git = above.join(".git");
        let (is_dir, is_file) = (git.is_dir(), git.is_file());
        // As git does, a repository that another user made is not trusted with anything.
        if !(is_dir || is_file) || !is_own(above) || !is_own(&git) {
            continue;
        }
        let main = if is_file { main_repository(above, &git) } else { None };
        return main.or_else(|| last_name(above));
    }
    None
}

fn is_home_or_root(home: Option<&Path>, folder: &Path) -> bool {
    folder.parent().is_none() || home == Some(folder)
}

/// Whether a path belongs to the user of this process. For root, what belongs to the user who called `sudo` is its own, too
/// (git, `is_path_owned_by_current_uid`).
#[cfg(unix)]
fn is_own(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let me = rustix::process::geteuid();
    let called_sudo = || std::env::var("SUDO_UID").ok()?.parse::<u32>().ok();
    let owner = std::fs::symlink_metadata(path).map(|facts| facts.uid());
    owner.is_ok_and(|owner| owner == me.as_raw() || (me.is_root() && called_sudo() == Some(owner)))
}

#[cfg(not(unix))]
fn is_own(_path: &Path) -> bool {
    true
}

/// The name of the repository to which a linked worktree belongs. `None` for a submodule, which is a project of its own.
///
/// The `.git` file says `gitdir: <main>/.git/worktrees/<name>`, and in that folder `commondir` leads to `<main>/.git`
/// (gitrepository-layout(5)). Where the main repository is gone, the path alone is read.
fn main_repository(worktree: &Path, git_file: &Path) -> Option<String> {
    let text = read_small(git_file)?;
    let git_dir = worktree.join(text.lines().find_map(|line| line.strip_prefix("gitdir:"))?.trim());
    let is_there = may_be_visited(&git_dir) && git_dir.is_dir();
    if is_there && !is_own(&git_dir) {
        return None;
    }
    let common = match is_there.then(|| read_small(&git_dir.join("commondir"))).flatten() {
        Some(text) => straight(&git_dir.join(text.trim())),
        None => {
            let git_dir = straight(&git_dir);
            let worktrees = git_dir.parent().filter(|parent| parent.ends_with("worktrees"))?;
            worktrees.parent()?.to_owned()
        }
    };
    let name = last_name(&common)?;
    // `<main>/.git`, or `<main>/.bare` by a common habit; a bare repository is `<main>.git`.
    if name.starts_with('.') { last_name(common.parent()?) } else { Some(name.strip_suffix(".git").unwrap_or(&name).to_owned()) }
}

/// The branch that is checked out in a working folder; `None` outside a repository and where no branch is (a commit of its own).
pub fn branch_of_folder(folder: &Path) -> Option<String> {
    let own = |above: &Path| is_own(above) && is_own(&above.join(".git"));
    let above = folder.ancestors().take(CLIMB_MAX).find(|above| above.join(".git").exists() && own(above))?;
    let git = above.join(".git");
    let git_dir =
        if git.is_dir() { git } else { above.join(read_small(&git)?.lines().find_map(|line| line.strip_prefix("gitdir:"))?.trim()) };
    if !may_be_visited(&git_dir) || !is_own(&git_dir) {
        return None;
    }
    let head = read_small(&git_dir.join("HEAD"))?;
    let branch = head.trim().strip_prefix("ref: refs/heads/")?;
    let fits = !branch.is_empty() && branch.len() <= NAME_BYTES_MAX && !branch.chars().any(char::is_control);
    fits.then(|| branch.to_owned())
}

fn read_small(path: &Path) -> Option<String> {
    String::from_utf8(regular::read_beginning(path, GIT_FILE_BYTES_MAX).ok()?).ok()
}

/// The path without `.` and `..`, by its letters alone, so that it works for folders that are gone.
fn straight(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(part),
        }
    }
    out
}

fn last_name(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    // A log copied from Windows names its folders in Windows' way.
    let name = match folder.to_str()?.as_bytes() {
        [drive, b':', ..] if drive.is_ascii_alphabetic() => name.trim_end_matches('\\').rsplit('\\').next()?,
        [b'\\', b'\\', ..] => name.trim_end_matches('\\').rsplit('\\').next()?,
        _ => name,
    };
    (!name.is_empty() && !name.ends_with(':')).then(|| name.to_owned())
}

/// The program behind a user agent, by the name that its own log would give it: `claude-code`, `codex`, `openai-python`; else the
/// product's name in small letters. `None` where there is no name to be had. The measured agents are in clients-measured, section 3.
pub fn client_of_user_agent(agent: &str) -> Option<String> {
    let product = agent.split_whitespace().next()?.to_ascii_lowercase();
    let (name, rest) = product.split_once('/').unwrap_or((&product, ""));
    let starts = |word: &str| name.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()));
    let name: Cow<'_, str> = if starts("claude-cli") || starts("claude-code") {
        "claude-code".into()
    } else if starts("codex") {
        "codex".into()
    } else if starts("geminicli") || starts("gemini-cli") {
        "gemini-cli".into()
    } else if starts("opencode") {
        "opencode".into()
    } else if let Some(sdk) = stainless_sdk(name, rest) {
        sdk.into()
    } else {
        name.into()
    };
    safe_name(&name)
}

/// What of a name is fit to be kept and shown.
fn safe_name(name: &str) -> Option<String> {
    let safe: String =
        name.chars().filter(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(*letter)).take(NAME_BYTES_MAX).collect();
    (!safe.is_empty()).then_some(safe)
}

/// `OpenAI/Python`, `AsyncAzureOpenAI/Python`, `Anthropic/JS`: the SDKs that Stainless generates say vendor and language.
fn stainless_sdk(name: &str, rest: &str) -> Option<String> {
    let vendor = if name.ends_with("openai") {
        "openai"
    } else if name.strip_prefix("async").unwrap_or(name).starts_with("anthropic") {
        "anthropic"
    } else {
        return None;
    };
    let language = match rest.split('/').next()? {
        "js" => "node",
        language if !language.is_empty() && language.bytes().all(|letter| letter.is_ascii_alphabetic()) => language,
        _ => return None,
    };
    Some(format!("{vendor}-{language}"))
}

/// Programs that call by the user agent of a library: the program, and what its libraries are called (clients-measured, section 3).
const BEHIND: [(&str, [&str; 2]); 1] = [("aider", ["openai-python", "litellm"])];

/// Whether a process can name the client better than its user agent did.
pub fn process_may_name(client: Option<&str>) -> bool {
    client.is_none_or(|client| BEHIND.iter().any(|(_, libraries)| libraries.contains(&client)))
}

/// The client by its user agent and by the program that calls: the user agent names it, unless it has none or only a library's.
pub fn client_of_process(client: Option<String>, program: Option<String>) -> Option<String> {
    let Some(client) = client else { return program };
    let behind = |program: &String| BEHIND.iter().any(|(it, libraries)| it == program && libraries.contains(&&*client));
    Some(program.filter(behind).unwrap_or(client))
}

/// The name of the program in a command: of what is run, or of what it runs where that is an interpreter. Nothing else of a command is
/// kept; the arguments may be anything.
pub fn program_of_command(command: &[&str]) -> Option<String> {
    let name_of = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        [".py", ".js", ".mjs", ".cjs", ".ts"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let run = name_of(command.first()?);
    let interpreter = ["python", "pypy", "node", "bun", "deno", "ruby"]
        .iter()
        .any(|it| run.strip_prefix(it).is_some_and(|version| version.bytes().all(|letter| letter.is_ascii_digit() || letter == b'.')));
    let name = match command {
        [_, "-m", module, ..] if interpreter => name_of(module),
        [_, script, ..] if interpreter && !script.starts_with('-') && !script.is_empty() => name_of(script),
        _ => run,
    };
    safe_name(&name)
}

/// The headers in which clients name their session, the surest first (clients-measured, section 3).
pub const SESSION_HEADERS: [&str; 5] = ["x-claude-code-session-id", "thread-id", "session-id", "session_id", "x-session-id"];

/// The client's session, from the headers of a request, so that a proxied call and its row in the client's log name the same one:
/// Claude Code, Codex and opencode send it (clients-measured, section 3). `lookup` finds a header by its name in small letters.
/// Codex's log of a subagent has the thread's id and not the session's.
pub fn session_of_headers<'a>(lookup: &dyn Fn(&str) -> Option<&'a str>) -> Option<&'a str> {
    SESSION_HEADERS
        .into_iter()
        .filter_map(|name| lookup(name).map(str::trim))
        .find(|value| !value.is_empty() && value.len() <= NAME_BYTES_MAX && value.bytes().all(|letter| letter.is_ascii_graphic()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn name(projects: &mut Projects, folder: impl AsRef<Path>) -> Option<String> {
        projects.of_folder(folder.as_ref().to_str().expect("a text")).map(|project| project.name)
    }

    #[test]
    fn a_folder_in_a_repository_is_of_that_repository() {
        let home = tempfile::tempdir().expect("a folder");
        let deep = home.path().join("api/src/deep");
        fs::create_dir_all(&deep).expect("folders");
        fs::create_dir(home.path().join("api/.git")).expect("a repository");
        let mut projects = Projects::new(None);
        assert_eq!(name(&mut projects, &deep).as_deref(), Some("api"));
        assert_eq!(name(&mut projects, deep.join("gone")).as_deref(), Some("gone"));
    }

    #[test]
    fn a_linked_worktree_is_of_its_main_repository_even_when_that_is_gone() {
        let home = tempfile::tempdir().expect("a folder");
        let main = home.path().join("api");
        let admin = main.join(".git/worktrees/fix");
        fs::create_dir_all(&admin).expect("folders");
        fs::write(admin.join("commondir"), "../..\n").expect("a file");
        let tree = home.path().join("api-fix");
        fs::create_dir_all(tree.join("src")).expect("folders");
        fs::write(tree.join(".git"), format!("gitdir: {}\n", admin.display())).expect("a file");
        assert_eq!(name(&mut Projects::new(None), tree.join("src")).as_deref(), Some("api"));
        fs::remove_dir_all(&main).expect("the main repository goes");
        assert_eq!(name(&mut Projects::new(None), tree.join("src")).as_deref(), Some("api"));
    }

    #[test]
    fn the_branch_is_that_of_the_repository_or_worktree() {
        let home = tempfile::tempdir().expect("a folder");
        let (main, tree) = (home.path().join("api"), home.path().join("api-fix"));
        let admin = main.join(".git/worktrees/fix");
        fs::create_dir_all(&admin).expect("folders");
        fs::create_dir_all(main.join("src")).expect("folders");
        fs::create_dir_all(&tree).expect("a folder");
        fs::write(main.join(".git/HEAD"), "ref: refs/heads/main\n").expect("a file");
        fs::write(admin.join("HEAD"), "ref: refs/heads/fix/rounding\n").expect("a file");
        fs::write(tree.join(".git"), "gitdir: ../api/.git/worktrees/fix\n").expect("a file");
        assert_eq!(branch_of_folder(&main.join("src")).as_deref(), Some("main"));
        assert_eq!(branch_of_folder(&tree).as_deref(), Some("fix/rounding"));
        fs::write(main.join(".git/HEAD"), "2f5c1d1a9d9d4c1d0f6a4a6f1c7d0b8e9a3b5c7d\n").expect("a file");
        assert_eq!(branch_of_folder(&main), None, "a commit of its own is no branch");
        assert_eq!(branch_of_folder(home.path()), None);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_in_place_of_git_files_are_not_waited_for() {
        let home = tempfile::tempdir().expect("a folder");
        let pipe = |path: PathBuf| {
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        };
        let at = |path: &str| home.path().join(path);
        pipe(at("head/.git/HEAD"));
        pipe(at("file/.git"));
        pipe(at("main/.git/worktrees/tree/commondir"));
        pipe(at("main/.git/worktrees/tree/HEAD"));
        fs::create_dir(at("tree")).expect("a folder");
        fs::write(at("tree/.git"), format!("gitdir: {}\n", at("main/.git/worktrees/tree").display())).expect("a file");
        fs::create_dir_all(at("zero/.git")).expect("folders");
        std::os::unix::fs::symlink("/dev/zero", at("zero/.git/HEAD")).expect("a link");
        let mut projects = Projects::new(None);
        for (folder, project) in [("head", "head"), ("file", "file"), ("tree", "main"), ("zero", "zero")] {
            assert_eq!(name(&mut projects, at(folder)).as_deref(), Some(project));
            assert_eq!(projects.branch_of_folder(&at(folder)), None, "{folder}");
        }
        assert_eq!(projects.take_stalled(), Vec::<String>::new());
    }

    #[cfg(unix)]
    #[test]
    fn repository_of_another_user_is_skipped() {
        if !rustix::process::geteuid().is_root() {
            return println!("skipped: only root can give a folder to another user");
        }
        let home = tempfile::tempdir().expect("a folder");
        let at = |path: &str| home.path().join(path);
        fs::create_dir_all(at("own/.git")).expect("folders");
        fs::write(at("own/.git/HEAD"), "ref: refs/heads/mine\n").expect("a file");
        fs::create_dir_all(at("own/foreign/.git")).expect("folders");
        fs::create_dir_all(at("own/foreign/work")).expect("folders");
        fs::write(at("own/foreign/.git/HEAD"), "ref: refs/heads/theirs\n").expect("a file");
        std::os::unix::fs::chown(at("own/foreign/.git"), Some(4321), None).expect("given");
        let mut projects = Projects::new(None);
        assert_eq!(name(&mut projects, at("own/foreign/work")).as_deref(), Some("own"));
        assert_eq!(projects.branch_of_folder(&at("own/foreign/work")).as_deref(), Some("mine"));
        std::os::unix::fs::chown(at("own/.git"), Some(4321), None).expect("given");
        let mut projects = Projects::new(None);
        assert_eq!(name(&mut projects, at("own/foreign/work")).as_deref(), Some("work"));
        assert_eq!(projects.branch_of_folder(&at("own")), None);
    }

    #[test]
    fn folder_on_another_machine_has_its_name_only() {
        let mut projects = Projects::new(None);
        for (folder, project) in [("//host/share/api", "api"), ("\\\\host\\share\\api", "api"), ("/net/host/api", "api")] {
            assert_eq!(name(&mut projects, folder).as_deref(), Some(project), "{folder}");
            assert_eq!(projects.branch_of_folder(Path::new(folder)), None, "{folder}");
        }
    }

    #[test]
    fn a_submodule_is_a_project_of_its_own() {
        let home = tempfile::tempdir().expect("a folder");
        let module = home.path().join("api/vendor/lib");
        fs::create_dir_all(&module).expect("folders");
        fs::create_dir_all(home.path().join("api/.git/modules/lib")).expect("folders");
        fs::write(module.join(".git"), "gitdir: ../../.git/modules/lib\n").expect("a file");
        assert_eq!(name(&mut Projects::new(None), &module).as_deref(), Some("lib"));
    }

    #[test]
    fn a_worktree_of_a_bare_repository_has_its_name() {
        let home = tempfile::tempdir().expect("a folder");
        for bare in ["api.git", "api/.bare"] {
            let admin = home.path().join(bare).join("worktrees/main");
            fs::create_dir_all(&admin).expect("folders");
            fs::write(admin.join("commondir"), "../..\n").expect("a file");
            let tree = home.path().join("tree");
            fs::create_dir_all(&tree).expect("a folder");
            fs::write(tree.join(".git"), format!("gitdir: {}\n", admin.display())).expect("a file");
            assert_eq!(name(&mut Projects::new(None), &tree).as_deref(), Some("api"), "{bare}");
        }
    }

    #[test]
    fn home_and_root_are_no_project_and_dotfiles_do_not_swallow_all() {
        let home = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(home.path().join("notes")).expect("a folder");
        fs::create_dir(home.path().join(".git")).expect("a repository");
        let mut projects = Projects::new(Some(home.path().to_owned()));
        assert_eq!(name(&mut projects, home.path()), None);
        assert_eq!(name(&mut projects, "/"), None);
        assert_eq!(name(&mut projects, ""), None);
        assert_eq!(name(&mut projects, home.path().join("notes")).as_deref(), Some("notes"));
        assert_eq!(name(&mut projects, "C:\\Users\\ada\\api").as_deref(), Some("api"));
    }

    #[test]
    fn programs_are_known_by_their_user_agents() {
        for (agent, client) in [
            ("claude-cli/2.1.330 (external, sdk-cli)", Some("claude-code")),
            ("codex_exec/0.169.0 (Linux)", Some("codex")),
            ("codex_cli_rs/0.160.0", Some("codex")),
            ("GeminiCLI-tui/0.61.0/gemini-3-pro (linux)", Some("gemini-cli")),
            ("opencode/1.18.33 ai-sdk/provider-utils runtime/bun", Some("opencode")),
            ("OpenAI/Python 3.54.0", Some("openai-python")),
            ("AsyncAzureOpenAI/Python 3.54.0", Some("openai-python")),
            ("OpenAI/JS 6.1.0", Some("openai-node")),
            ("Anthropic/Python 2.12.0", Some("anthropic-python")),
            ("AsyncAnthropicBedrock/Python 2.12.0", Some("anthropic-python")),
            ("Anthropic/JS 1.2.3", Some("anthropic-node")),
            ("google-genai-sdk/3.4.0 gl-python/3.13", Some("google-genai-sdk")),
            ("mistral-client-python/3.7.0", Some("mistral-client-python")),
            ("litellm/1.106.2", Some("litellm")),
            ("codexical/1", Some("codexical")),
            ("Curl/8.5.0", Some("curl")),
            ("<b>\u{1b}[0m/1", Some("b0m")),
            ("", None),
            ("///", None),
        ] {
            assert_eq!(client_of_user_agent(agent).as_deref(), client, "{agent:?}");
        }
        assert_eq!(client_of_user_agent(&"x".repeat(9000)).map(|name| name.len()), Some(NAME_BYTES_MAX));
    }

    #[test]
    fn a_command_names_its_program_and_nothing_else_of_it_is_told() {
        for (command, program) in [
            (&["/venv/bin/python3.11", "/venv/bin/aider", "--message", "secret"][..], Some("aider")),
            (&["python", "-m", "aider", "secret"], Some("aider")),
            (&["/usr/bin/python3", "bot/review.py"], Some("review")),
            (&["node", "/srv/app.mjs", "secret"], Some("app")),
            (&["python3", "-c", "secret"], Some("python3")),
            (&["node"], Some("node")),
            (&["/opt/agent/bin/agent", "secret"], Some("agent")),
            (&["nodemon", "secret"], Some("nodemon")),
            (&["<b>\u{1b}"], Some("b")),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(program_of_command(command).as_deref(), program, "{command:?}");
        }
    }

    #[test]
    fn a_process_names_the_client_where_the_user_agent_is_a_librarys_or_none() {
        let client = |agent: Option<&str>, program: Option<&str>| client_of_process(agent.map(str::to_owned), program.map(str::to_owned));
        assert_eq!(client(Some("litellm"), Some("aider")).as_deref(), Some("aider"));
        assert_eq!(client(Some("claude-code"), Some("aider")).as_deref(), Some("claude-code"));
        assert_eq!(client(Some("openai-python"), Some("review")).as_deref(), Some("openai-python"));
        assert_eq!(client(None, Some("review")).as_deref(), Some("review"));
        assert_eq!(client(Some("litellm"), None).as_deref(), Some("litellm"));
        assert!(process_may_name(None) && process_may_name(Some("litellm")) && !process_may_name(Some("codex")));
    }

    #[test]
    fn sessions_are_found_in_headers() {
        let with = |name: &'static str, value: &'static str| session_of_headers(&move |asked| (asked == name).then_some(value));
        assert_eq!(with("x-claude-code-session-id", "790ee25e"), Some("790ee25e"));
        assert_eq!(with("thread-id", " 019a "), Some("019a"));
        assert_eq!(with("x-session-id", "ses_1"), Some("ses_1"));
        assert_eq!(session_of_headers(&|name| ["session-id", "thread-id"].iter().find(|it| **it == name).copied()), Some("thread-id"));
        assert_eq!(with("x-session-id", "two words"), None);
        assert_eq!(with("authorization", "Bearer x"), None);
    }
}
