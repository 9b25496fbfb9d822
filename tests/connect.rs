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
            house.out(&["connect", client, "--write"]);
            house.out(&["connect", client, "--write"]);
            let stand = stand(&house, client);
            let written = Path::new(stand["file"].as_str().unwrap()).to_owned();
            assert_eq!((&stand["stand"], fs::read_to_string(&written).unwrap().matches(&house.proxy).count() > 0), (&"ours".into(), true));
            if there {
                assert_eq!(written, file);
                assert_eq!(
                    fs::read_to_string(file.with_file_name(format!("{}.before-tollbar", file.file_name().unwrap().display()))).unwrap(),
                    before
                );
                assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
            }
            house.out(&["connect", client, "--undo"]);
            assert_eq!(fs::read_to_string(&file).ok().as_deref(), there.then_some(before), "{client}");
            let left: Vec<_> = fs::read_dir(written.parent().unwrap())
                .unwrap()
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
    assert!(text.contains(&format!("ExecStart=\"{}\" serve", env!("CARGO_BIN_EXE_tollbar"))) && text.contains("TOLLBAR_HOME="), "{text}");
    house.out(&["service", "remove"]);
    assert!(!unit.exists());
    house.run(&["service", "remove"]).fails_with("no service is installed");
    let asked = fs::read_to_string(&asked).unwrap();
    assert!(asked.contains("--user restart tollbar.service") && asked.contains("--user disable --now tollbar.service"), "{asked}");
    eventually(|| (house.json(&["service", "status"])["installed"] == false).then_some(()), || "removed".into());
}
