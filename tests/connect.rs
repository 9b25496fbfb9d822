//! Clients are pointed at the proxy for one run or for good, and nothing of theirs is lost by it.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod house;

use house::{House, Upstream, eventually, replies};
use serde_json::Value;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
};

/// A house with an engine, and a folder that is a repository.
fn house() -> (House, Upstream) {
    let upstream = Upstream::saying(replies::json(replies::chat("chatcmpl-1", "gpt-4.1", 1000, 100)));
    let house = House::before(&upstream);
    fs::create_dir_all(house.path("my app/.git")).unwrap();
    fs::create_dir_all(house.path("my app/src")).unwrap();
    (house, upstream)
}

/// `tollbar run ARGUMENTS` in the repository, as a command that finds the system's programs.
fn run(house: &House, arguments: &[&str]) -> Command {
    let mut command = house.command(&[&["run"], arguments].concat());
    command.env("PATH", "/usr/bin:/bin").current_dir(house.path("my app/src"));
    command
}

#[test]
fn a_command_runs_with_its_calls_pointed_at_the_proxy_and_its_project_in_the_path() {
    let (house, _upstream) = house();
    let output = run(&house, &["--", "sh", "-c", "echo $OPENAI_BASE_URL; echo $ANTHROPIC_BASE_URL"]).output().unwrap();
    let expected = format!("http://{0}/p/my%20app/openai/v1\nhttp://{0}/p/my%20app/anthropic\n", house.proxy);
    assert_eq!((String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap()), (expected, String::new()));
    // The address leads to a call that is recorded for that project.
    house.post("/p/my%20app/openai/v1/chat/completions", r#"{"model":"gpt-4.1","messages":[]}"#);
    assert_eq!(house.rows_when(1)[0]["project"], "my app");
    let named = run(&house, &["--project", "shop", "sh", "-c", "echo $OPENAI_BASE_URL"]).output().unwrap();
    assert!(String::from_utf8(named.stdout).unwrap().ends_with("/p/shop/openai/v1\n"));
}

#[test]
fn without_an_engine_the_command_runs_as_it_would_without_us() {
    let (mut house, _upstream) = house();
    let words = ["--", "sh", "-c", "echo ${OPENAI_BASE_URL-none}; umask; exit 7"];
    let alone = |house: &House| {
        let output = run(house, &words).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err.lines().count()), (Some(7), 1), "{err}");
        assert!(err.starts_with("tollbar: no engine answers at http://127.0.0.1:"), "{err}");
        String::from_utf8(output.stdout).unwrap()
    };
    house.stop();
    assert!(alone(&house).starts_with("none\n"));
    // One that was killed leaves its notice, and another program may have its port.
    house.start();
    let proxy = house.proxy.clone();
    house.kill();
    assert!(alone(&house).starts_with("none\n"));
    let other = std::net::TcpListener::bind(&proxy).unwrap();
    assert!(alone(&house).starts_with("none\n"), "{other:?} says nothing");
    let umask = Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
    assert_eq!(alone(&house), format!("none\n{}", String::from_utf8(umask).unwrap()), "files are made as the user wants them");
}

#[test]
fn exit_codes_and_signals_are_the_commands_own() {
    let (house, _upstream) = house();
    let code = |words: &[&str]| run(&house, words).stderr(Stdio::null()).status().unwrap();
    assert_eq!(code(&["sh", "-c", "exit 42"]).code(), Some(42));
    assert_eq!(code(&["sh", "-c", "kill -TERM $$"]).signal(), Some(15));
    assert_eq!(code(&["no-such-command-here"]).code(), Some(127));
    assert_eq!(code(&["/etc/passwd"]).code(), Some(126));
    let mut child =
        run(&house, &["sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"]).stdout(Stdio::piped()).spawn().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut String::new()).unwrap();
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

/// What the files of clients hold before, at its place under the user's folder.
const BEFORE: [(&str, &str, &str); 5] = [
    ("claude-code", ".claude/settings.json", "{\n  \"model\": \"opus\",\n  \"env\": {\n    \"FOO\": \"1\"\n  }\n}\n"),
    ("codex", ".codex/config.toml", "# mine\nmodel = \"gpt-5.1-codex\" # fast\n\n[features]\napps = false\n"),
    ("gemini", ".gemini/.env", "GEMINI_API_KEY=k\n"),
    (
        "opencode",
        ".config/opencode/opencode.jsonc",
        "{\n  // mine\n  \"provider\": { \"openai\": { \"options\": { \"baseURL\": \"https://mine/v1\" } } },\n}\n",
    ),
    ("aider", ".aider.conf.yml", "# mine\nmodel: gpt-4o\n"),
];

#[test]
fn a_setting_is_written_beside_what_stands_there_and_taken_away_again() {
    let (house, _upstream) = house();
    for (client, name, before) in BEFORE {
        let file = house.path("user").join(name);
        for there in [false, true] {
            if there {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, before).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
            }
            let shown = house.json(&["connect", client]);
            assert!(!shown["side_effects"].as_array().unwrap().is_empty());
            // Twice is as once.
            // What stands there in opencode's file is another gateway.
            let force: &[&str] = if there && client == "opencode" { &["--force"] } else { &[] };
            for _ in 0..2 {
                house.out(&[&["connect", client, "--write"], force].concat());
            }
            let stand = stand(&house, client);
            let written = Path::new(stand["file"].as_str().unwrap()).to_owned();
            assert_eq!((&stand["stand"], fs::read_to_string(&written).unwrap().matches(&house.proxy).count() > 0), (&"ours".into(), true));
            if there {
                assert_eq!(written, file);
                assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
            }
            house.out(&["connect", client, "--undo"]);
            assert_eq!(fs::read_to_string(&file).ok().as_deref(), there.then_some(before), "{client}");
            // A folder that was made for it is gone.
            let left: Vec<_> = fs::read_dir(written.parent().unwrap())
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.contains("tollbar"))
                .collect();
            assert!(left.is_empty(), "{left:?}");
            house.run(&["connect", client, "--undo"]).fails_with("nothing was written for");
        }
    }
}

fn stand(house: &House, client: &str) -> Value {
    let list = house.json(&["connect"]);
    list["clients"].as_array().unwrap().iter().find(|it| it["client"] == client).unwrap().clone()
}

#[test]
fn what_the_user_changed_since_stays_when_the_setting_is_taken_away() {
    let (house, _upstream) = house();
    let file = house.path("user/.claude/settings.json");
    house.out(&["connect", "claude-code", "--write"]);
    let mut settings: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    settings["model"] = "opus".into();
    fs::write(&file, settings.to_string()).unwrap();
    house.out(&["connect", "claude-code", "--undo"]);
    assert_eq!(serde_json::from_str::<Value>(&fs::read_to_string(&file).unwrap()).unwrap(), serde_json::json!({ "model": "opus" }));
    // An address that the user set otherwise is the user's.
    house.out(&["connect", "claude-code", "--write"]);
    fs::write(&file, r#"{"env":{"ANTHROPIC_BASE_URL":"https://mine"}}"#).unwrap();
    house.out(&["connect", "claude-code", "--undo"]);
    assert!(fs::read_to_string(&file).unwrap().contains("https://mine"));
}

#[test]
fn a_file_that_cannot_be_understood_is_left_alone() {
    let (house, _upstream) = house();
    let file = house.path("user/.claude/settings.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{ \"env\": ").unwrap();
    house.run(&["connect", "claude-code", "--write"]).fails_with("cannot change");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ \"env\": ");
    house.run(&["connect", "nobody"]).fails_with("no client is called \"nobody\"");
}

#[test]
fn a_client_that_is_pointed_at_a_dead_port_is_said() {
    let (mut house, _upstream) = house();
    house.out(&["connect", "codex", "--write"]);
    let findings = |house: &House| house.json(&["connect"])["findings"].as_array().unwrap().clone();
    assert!(findings(&house).is_empty());
    house.stop();
    let found = findings(&house);
    assert!(found.len() == 1 && found[0]["what"].as_str().unwrap().contains("codex is pointed at http://127.0.0.1:"), "{found:?}");
}

#[test]
fn the_service_is_a_unit_that_starts_this_program_and_is_removed_whole() {
    let mut house = House::new("");
    // A stand-in for the system's own: it notes what it is asked.
    let bin = house.path("bin");
    fs::create_dir(&bin).unwrap();
    let asked = house.path("asked");
    let script = |code: u8| {
        fs::write(bin.join("systemctl"), format!("#!/bin/sh\necho \"$@\" >> '{}'\nexit {code}\n", asked.display())).unwrap();
        fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    house.set("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    let unit = house.path("user/.config/systemd/user/tollbar.service");
    script(1);
    house.run(&["service", "install"]).fails_with("systemctl");
    assert!(!unit.exists());
    script(0);
    let status = house.json(&["service", "install"]);
    assert_eq!((&status["installed"], &status["active"]), (&true.into(), &true.into()));
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains("\nUMask=0077\n") && text.contains("\nNoNewPrivileges=yes\n"), "{text}");
    assert!(is_unit_valid(&unit), "systemd-analyze verify finds something in it");
    assert!(text.contains(&format!("ExecStart=\"{}\" serve", env!("CARGO_BIN_EXE_tollbar"))) && text.contains("TOLLBAR_HOME="), "{text}");
    house.out(&["service", "remove"]);
    assert!(!unit.exists());
    house.run(&["service", "remove"]).fails_with("no service is installed");
    let asked = fs::read_to_string(&asked).unwrap();
    assert!(asked.contains("--user restart tollbar.service") && asked.contains("--user disable --now tollbar.service"), "{asked}");
    eventually(|| (house.json(&["service", "status"])["installed"] == false).then_some(()), || "removed".into());
}

/// A file under the user's folder with this text.
fn user_file(house: &House, name: &str, text: &str) -> std::path::PathBuf {
    let file = house.path("user").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    file
}

/// A program on the PATH of `run`, which is a script.
fn program(house: &House, name: &str, script: &str) -> std::path::PathBuf {
    let file = house.path("bin").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

/// Standard output and error of `tollbar run` with the programs of this house on the PATH.
fn ran(house: &House, env: &[(&str, &str)], arguments: &[&str]) -> (String, String) {
    let path = format!("{}:/usr/bin:/bin", house.path("bin").display());
    let output = run(house, arguments).env("PATH", path).envs(env.iter().copied()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn run_exempts_loopback_from_the_users_http_proxy() {
    let (house, _upstream) = house();
    let show = ["--", "sh", "-c", "echo $NO_PROXY; echo $no_proxy"];
    let with = |env: &[(&str, &str)]| ran(&house, env, &show).0;
    let here = "127.0.0.1,localhost,::1";
    let proxy = ("HTTP_PROXY", "http://corp.example:3128");
    assert_eq!(with(&[proxy]), format!("{here}\n{here}\n"));
    assert_eq!(with(&[proxy, ("no_proxy", ".corp")]), format!(".corp,{here}\n.corp,{here}\n"));
    assert_eq!(with(&[proxy, ("NO_PROXY", "*")]), "*\n\n");
    // Listed and warned of where nobody exempts it.
    let found = |env: &[(&str, &str)]| {
        let output = house.command(&["connect", "--json"]).envs(env.iter().copied()).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["findings"].to_string()
    };
    assert!(found(&[proxy]).contains("the environment names an HTTP proxy (HTTP_PROXY) and does not exempt 127.0.0.1"));
    assert_eq!(found(&[proxy, ("NO_PROXY", here)]), "[]");
    user_file(&house, ".claude/settings.json", r#"{"env":{"HTTPS_PROXY":"http://u:secret@corp:1"}}"#);
    let found = found(&[]);
    assert!(found.contains("claude-code (") && found.contains("HTTPS_PROXY") && !found.contains("secret"), "{found}");
    let doctor = house.command(&["doctor"]).env("HTTP_PROXY", "http://corp:1").output().unwrap();
    assert!(String::from_utf8(doctor.stdout).unwrap().contains("the environment names an HTTP proxy"));
}

#[test]
fn run_points_clients_that_a_shell_starts() {
    let (house, _upstream) = house();
    for client in ["codex", "claude"] {
        program(&house, client, &format!("echo {client} \"$@\"; echo $ANTHROPIC_BASE_URL"));
    }
    let root = format!("http://{}/p/my%20app", house.proxy);
    let codex = format!("codex -c openai_base_url=\"{root}/openai/v1\" exec hi\n");
    assert!(ran(&house, &[], &["codex", "exec", "hi"]).0.starts_with(&codex));
    assert!(ran(&house, &[], &["sh", "-c", "exec codex exec hi"]).0.starts_with(&codex));
    assert!(ran(&house, &[], &["env", "A=1", "codex", "exec", "hi"]).0.starts_with(&codex));
    let shop = ran(&house, &[], &["--project", "shop", "sh", "-c", "codex exec hi"]).0;
    assert!(shop.contains("/p/shop/openai/v1"), "{shop}");
    // A wrapper of the user's own calls the next one on the PATH.
    program(&house, "wrap", "PATH=${PATH%:*} codex wrapped");
    assert!(ran(&house, &[], &["wrap"]).0.contains("/openai/v1\" wrapped\n"));
    // Settings that a client reads before its environment are overridden, too.
    let old = format!(r#"{{"env":{{"ANTHROPIC_BASE_URL":"http://{}/anthropic"}}}}"#, house.proxy);
    user_file(&house, ".claude/settings.json", &old);
    let (out, _) = ran(&house, &[], &["sh", "-c", "claude -p hi"]);
    assert!(out.starts_with(&format!("claude --settings {{\"env\":{{\"ANTHROPIC_BASE_URL\":\"{root}/anthropic\"}}}} -p hi\n")), "{out}");
    user_file(&house, ".claude/settings.json", r#"{"env":{"ANTHROPIC_BASE_URL":"https://gateway.example"}}"#);
    let (out, err) = ran(&house, &[], &["claude", "-p", "hi"]);
    assert!(out.starts_with("claude -p hi\n") && err.contains("leads to https://gateway.example;"), "{out}{err}");
    // What is not installed is not found.
    fs::remove_file(house.path("bin/codex")).unwrap();
    assert!(ran(&house, &[], &["sh", "-c", "command -v codex || echo none"]).0.ends_with("none\n"));
}

#[test]
fn run_chooses_the_login_of_gemini_and_undo_takes_it_away() {
    let (house, _upstream) = house();
    program(&house, "gemini", "echo $GOOGLE_GEMINI_BASE_URL; curl -s -o /dev/null $GOOGLE_GEMINI_BASE_URL/v1beta/models");
    let settings = user_file(&house, ".gemini/settings.json", "{\"a\": 1}");
    let key = ("GEMINI_API_KEY", "k");
    let base = format!("http://{}/p/my%20app/gemini\n", house.proxy);
    let (out, err) = ran(&house, &[key], &["sh", "-c", "gemini -p hi"]);
    assert!(out == base && err.contains("chose the login with a key in") && err.lines().count() == 1, "{out}{err}");
    assert!(fs::read_to_string(&settings).unwrap().contains("\"selectedType\": \"gemini-api-key\""));
    assert_eq!(ran(&house, &[key], &["gemini", "-p", "hi"]), (base.clone(), String::new()));
    house.out(&["connect", "gemini", "--undo"]);
    assert_eq!(fs::read_to_string(&settings).unwrap(), "{\"a\": 1}");
    assert_eq!(ran(&house, &[], &["gemini", "-p", "hi"]), (base, String::new()), "without a key the login is another");
    // Where it cannot be chosen, gemini runs as it would without tollbar.
    fs::write(&settings, "no JSON").unwrap();
    let (out, err) = ran(&house, &[key], &["gemini", "-p", "hi"]);
    assert!(out == "\n" && err.contains("its calls are not metered here"), "{out}{err}");
}

#[test]
fn run_says_so_if_a_client_made_no_call() {
    let (house, _upstream) = house();
    let line = "made no call through the proxy";
    program(&house, "codex", "exit 3");
    let (_, err) = ran(&house, &[], &["codex", "exec", "hi"]);
    assert!(err.contains(&format!("codex {line}")) && err.lines().count() == 1, "{err}");
    let call = "curl -s -o /dev/null -d '{\"model\":\"gpt-4.1\",\"messages\":[]}' $OPENAI_BASE_URL/chat/completions";
    program(&house, "codex", call);
    assert_eq!(ran(&house, &[], &["codex", "exec", "hi"]).1, "");
    assert_eq!(ran(&house, &[], &["codex", "--version"]).1, "");
    assert_eq!(ran(&house, &[], &["true"]).1, "");
    // Who waits is no child of the command.
    program(&house, "codex", "ps -o ppid= -e | grep -c \"^ *$$\\$\"; true");
    let (out, _) = ran(&house, &[], &["codex", "exec", "hi"]);
    assert!(out.trim().parse::<u32>().is_ok_and(|children| children <= 3), "itself, ps and grep: {out}");
}

#[test]
fn connect_undo_restores_every_byte() {
    let (house, _upstream) = house();
    let cases = [
        ("claude-code", ".claude/settings.json", ""),
        ("claude-code", ".claude/settings.json", "{}"),
        ("claude-code", ".claude/settings.json", "\u{feff}{\r\n  \"env\": {},\r\n}"),
        ("codex", ".codex/config.toml", ""),
        ("codex", ".codex/config.toml", "model = \"x\""),
        ("codex", ".codex/config.toml", "[a]\r\nb = 1\r\n"),
        ("gemini", ".gemini/.env", "A=1"),
        ("gemini", ".gemini/.env", ""),
        ("opencode", ".config/opencode/opencode.json", ""),
        ("aider", ".aider.conf.yml", ""),
        ("aider", ".aider.conf.yml", "model: x"),
        ("aider", ".aider.conf.yml", "{model: x, dark-mode: true}\n"),
        ("aider", ".aider.conf.yml", "---\n# mine\nmodel: x\n...\n"),
        ("aider", ".aider.conf.yml", "openai-api-base: 'http://127.0.0.1:9/openai/v1' # mine"),
    ];
    for (client, name, before) in cases {
        let file = user_file(&house, name, before);
        house.out(&["connect", client, "--write"]);
        assert_eq!(stand(&house, client)["stand"], "ours", "{client} {before:?}");
        house.out(&["connect", client, "--undo"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "{client}");
    }
    assert!(!house.path("user/.gemini/settings.json").exists());
}

#[test]
fn connect_keeps_no_copy_of_a_settings_file() {
    let (house, _upstream) = house();
    let secret = "sk-ant-canary-0123456789";
    let text = format!("{{\"env\":{{\"ANTHROPIC_API_KEY\":\"{secret}\"}}}}");
    let file = user_file(&house, ".claude/settings.json", &text);
    house.out(&["connect", "claude-code", "--write"]);
    let copies = Command::new("grep").args(["-rl", secret]).arg(house.folder.path()).output().unwrap().stdout;
    assert_eq!(String::from_utf8(copies).unwrap().trim(), file.to_str().unwrap());
    // An earlier version kept the whole text, and a copy beside the file.
    let now = fs::read_to_string(&file).unwrap();
    let address = format!("http://{}/anthropic", house.proxy);
    let setting = serde_json::json!({ "path": ["env", "ANTHROPIC_BASE_URL"], "value": address, "old": null, "had": 1 });
    let record = serde_json::json!({ "file": file, "made": false, "text": now, "settings": [setting] });
    fs::write(house.path("data/connected-claude-code.json"), record.to_string()).unwrap();
    let copy = user_file(&house, ".claude/settings.json.before-tollbar", &text);
    assert!(house.json(&["connect"])["findings"].to_string().contains("settings.json.before-tollbar is a copy of settings"));
    let undone = house.json(&["connect", "claude-code", "--undo"]);
    assert_eq!((undone["removed_copies"][0].as_str(), copy.exists()), (copy.to_str(), false));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert!(!house.path("data/connected-claude-code.json").exists());
}

#[test]
fn connect_follows_links_and_keeps_owner_and_mode() {
    use std::os::unix::fs::{MetadataExt, symlink};
    let (house, _upstream) = house();
    let real = user_file(&house, "dotfiles/codex.toml", "model = 'x'\n");
    fs::create_dir_all(house.path("user/.codex")).unwrap();
    symlink("../dotfiles/codex.toml", house.path("user/.codex/config.toml")).unwrap();
    symlink("../dotfiles/gone/claude.json", house.path("user/.claude.json")).unwrap();
    fs::create_dir_all(house.path("user/.claude")).unwrap();
    symlink("../dotfiles/claude.json", house.path("user/.claude/settings.json")).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o664)).unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        std::os::unix::fs::chown(&real, Some(1234), Some(4321)).unwrap();
    }
    let facts = |file: &Path| fs::metadata(file).map(|facts| (facts.mode(), facts.uid(), facts.gid())).unwrap();
    let before = facts(&real);
    for client in ["codex", "claude-code"] {
        house.out(&["connect", client, "--write"]);
    }
    assert!(fs::read_to_string(&real).unwrap().contains(&house.proxy));
    assert_eq!(facts(&real), before);
    for link in [".codex/config.toml", ".claude/settings.json"] {
        assert!(fs::symlink_metadata(house.path("user").join(link)).unwrap().is_symlink(), "{link}");
    }
    assert!(house.path("user/dotfiles/claude.json").is_file());
    // Another name of the same file sees the change.
    let other = house.path("user/dotfiles/other.toml");
    house.out(&["connect", "codex", "--undo"]);
    fs::hard_link(&real, &other).unwrap();
    house.out(&["connect", "codex", "--write"]);
    assert!(fs::read_to_string(&other).unwrap().contains(&house.proxy));
    for client in ["codex", "claude-code"] {
        house.out(&["connect", client, "--undo"]);
    }
    assert_eq!((fs::read_to_string(&other).unwrap().as_str(), facts(&real)), ("model = 'x'\n", before));
    assert!(!house.path("user/dotfiles/claude.json").exists());
}

#[test]
fn connect_replaces_another_gateway_only_by_force() {
    let (house, _upstream) = house();
    let before = "{\"env\":{\"ANTHROPIC_BASE_URL\":\"https://u:secret@gateway.example/x?k=secret\"}}";
    let file = user_file(&house, ".claude/settings.json", before);
    let refused = house.run(&["connect", "claude-code", "--write"]);
    assert!(refused.err.contains("https://gateway.example/x") && !refused.err.contains("secret"), "{}", refused.err);
    refused.fails_with("calls another gateway");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert!(!house.json(&["connect"]).to_string().contains("secret"));
    house.out(&["connect", "claude-code", "--write", "--force"]);
    assert!(fs::read_to_string(&file).unwrap().contains(&house.proxy));
    house.out(&["connect", "claude-code", "--undo"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // The provider's own address is none.
    let file = user_file(&house, ".codex/config.toml", "openai_base_url = 'https://api.openai.com/v1'\n");
    house.configure("");
    house.out(&["connect", "codex", "--write"]);
    assert!(fs::read_to_string(file).unwrap().contains(&house.proxy));
}

#[test]
fn connect_says_where_calls_go_that_it_cannot_point() {
    let (house, _upstream) = house();
    user_file(&house, ".codex/config.toml", "model_provider = 'x'\n[model_providers.x]\nbase_url = 'https://x.example/v1'\n");
    assert_eq!(stand(&house, "codex")["stand"]["other"], "https://x.example/v1 (model_provider \"x\")");
    assert!(house.out(&["connect", "codex", "--write"]).contains("its calls go to https://x.example/v1, not to openai_base_url"));
    user_file(&house, ".gemini/settings.json", r#"{"security":{"auth":{"selectedType":"oauth-personal"}}}"#);
    assert!(house.out(&["connect", "gemini", "--write"]).contains("its kind of login is \"oauth-personal\""));
    assert!(house.out(&["connect", "copilot"]).contains("export COPILOT_PROVIDER_BASE_URL=http://"));
    house.run(&["connect", "copilot", "--write"]).fails_with("reads no address from a settings file");
}

#[test]
fn connect_without_a_settings_file_says_not_connected() {
    let (house, _upstream) = house();
    for folder in [".claude", ".codex", ".gemini", ".config/opencode"] {
        fs::create_dir_all(house.path("user").join(folder)).unwrap();
    }
    user_file(&house, ".aider.conf.yml", "");
    let list = house.out(&["connect"]);
    assert_eq!(list.matches("not connected").count(), 5, "{list}");
    user_file(&house, ".claude/settings.json", "");
    assert_eq!(stand(&house, "claude-code")["stand"], "unset");
}

#[test]
fn run_refuses_a_port_of_another_user() {
    let (mut house, _upstream) = house();
    let proxy = house.proxy.clone();
    house.kill();
    if !cfg!(target_os = "linux") || !is_root() {
        println!("ignored: needs root, to listen as another user");
        return;
    }
    // It answers as a proxy of ours does, and keeps what it is sent.
    let port = proxy.rsplit(':').next().unwrap().to_owned();
    let heard = house.path("heard");
    fs::write(&heard, "").unwrap();
    fs::set_permissions(&heard, fs::Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(house.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!(
        "import os, socket\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
         s.bind(('127.0.0.1', {port})); s.listen(); print('ready', flush=True)\n\
         while True:\n  c, _ = s.accept(); open({heard:?}, 'ab').write(c.recv(65536)); c.sendall(b'HTTP/1.1 404 x\\r\\n\\r\\ntollbar_error'); c.close()\n"
    );
    let mut other = Command::new("python3").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(other.stdout.take().unwrap()), &mut String::new()).unwrap();
    let output = run(&house, &["sh", "-c", "echo ran"]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty() && err.contains("is held by another user (uid 65534)"), "{err}");
    let list = house.out(&["connect"]);
    assert!(list.contains("held by another user (uid 65534)"), "{list}");
    house.configure("");
    let doctor = house.run(&["doctor"]);
    assert!(doctor.status == 1 && doctor.out.contains("held by another user (uid 65534)"), "{}{}", doctor.out, doctor.err);
    assert_eq!(fs::read_to_string(&heard).unwrap(), "", "not even a question went there");
    other.kill().unwrap();
    other.wait().unwrap();
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

#[test]
fn engine_memory_is_in_no_core_file_and_no_debugger() {
    let (house, _upstream) = house();
    let proc = |name: &str| format!("/proc/{}/{name}", house.pid());
    let limits = fs::read_to_string(proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    // What is in /proc of a process that is not dumpable is root's, whoever runs it.
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(proc("mem")).unwrap()), 0);
    if !is_root() {
        assert!(fs::File::open(proc("mem")).is_err());
    }
}

/// Whether systemd takes a unit, where it is there to ask.
fn is_unit_valid(unit: &Path) -> bool {
    let runtime = tempfile::tempdir().unwrap();
    fs::set_permissions(runtime.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--user"]).arg(unit).env("XDG_RUNTIME_DIR", runtime.path());
    match verify.output() {
        Ok(output) => output.status.success() && output.stderr.is_empty(),
        Err(_) => {
            println!("ignored: there is no systemd-analyze here");
            true
        }
    }
}
