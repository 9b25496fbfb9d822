//! `./dev install` puts the programs where a user's shell and desktop find them, and takes all of it away again.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// `./dev` with this home, and its standard output.
fn dev(home: &Path, arguments: &[&str]) -> String {
    let mut dev = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dev"));
    dev.args(arguments).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    let output = dev.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn install_puts_programs_in_place_and_uninstall_removes_them() {
    let (home, built) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::copy(env!("CARGO_BIN_EXE_tollbar"), built.path().join("tollbar")).unwrap();
    let from = ["install", "--from", built.path().to_str().unwrap()];
    let out = dev(home.path(), &from);
    assert!(out.contains("without the tray and the window") && out.contains("is not on your PATH yet"), "{out}");
    let tollbar = home.path().join(".local/bin/tollbar");
    assert!(Command::new(&tollbar).arg("version").output().unwrap().status.success());
    let completions = fs::read_to_string(home.path().join(".local/share/bash-completion/completions/tollbar")).unwrap();
    assert!(completions.contains("tollbar") && files(home.path()).len() == 4, "{:?}", files(home.path()));
    // With the desktop app, over what is there.
    fs::copy(env!("CARGO_BIN_EXE_tollbar"), built.path().join("tollbar-desktop")).unwrap();
    dev(home.path(), &from);
    let entry = fs::read_to_string(home.path().join(".local/share/applications/tollbar.desktop")).unwrap();
    let exec = format!("Exec=\"{}\"", home.path().join(".local/bin/tollbar-desktop").display());
    assert!(entry.lines().any(|line| line == exec) && entry.contains("\nIcon=tollbar\n"), "{entry}");
    assert!(home.path().join(".local/share/icons/hicolor/scalable/apps/tollbar.svg").is_file());
    let mine = home.path().join(".local/bin/mine");
    fs::write(&mine, "").unwrap();
    dev(home.path(), &["uninstall"]);
    assert_eq!(files(home.path()), [mine]);
}
