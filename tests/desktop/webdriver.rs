//! As much WebDriver as reading a page takes (w3.org/TR/webdriver2).

use super::{Desk, PATIENCE, Process, program, until};
use serde_json::{Value, json};
use std::{fs, net::TcpListener, path::Path};

/// A session with the window, ended when dropped.
pub(crate) struct Page {
    address: String,
    _driver: Process,
}

impl Page {
    /// Lets the driver start the window itself: nobody else may drive a page.
    pub(crate) fn open(desk: &Desk) -> Page {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut driver = program("WebKitWebDriver", "webkit2gtk-driver");
        let driver = Process::start(desk.at(driver.arg(format!("--port={port}"))).env("TAURI_WEBVIEW_AUTOMATION", "true"));
        let server = format!("http://127.0.0.1:{port}");
        until("WebKitWebDriver listens", || ureq::get(format!("{server}/status")).call().ok());
        let options = json!({ "binary": env!("CARGO_BIN_EXE_tollbar-desktop"), "args": ["--window"] });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } } });
        let session = post(&format!("{server}/session"), &wanted);
        let id = session["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {session}"));
        Page { address: format!("{server}/session/{id}"), _driver: driver }
    }

    /// What the page says to a script.
    pub(crate) fn run(&self, script: &str) -> Value {
        post(&format!("{}/execute/sync", self.address), &json!({ "script": script, "args": [] }))
    }

    /// An attribute of the element with that test id, once it is there.
    pub(crate) fn attribute(&self, test_id: &str, name: &str) -> Option<String> {
        let script = format!("return document.querySelector('[data-testid={test_id}]')?.getAttribute('{name}') ?? null");
        self.run(&script).as_str().map(str::to_owned)
    }

    pub(crate) fn screenshot(&self, picture: &Path) {
        let mut reply = ureq::get(format!("{}/screenshot", self.address)).call().unwrap();
        let reply: Value = reply.body_mut().with_config().limit(64 << 20).read_json().unwrap();
        use base64::Engine as _;
        let png = base64::engine::general_purpose::STANDARD.decode(reply["value"].as_str().unwrap()).unwrap();
        fs::write(picture, png).unwrap();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // Ends the window too; one that is gone already needs no end.
        let _ = ureq::delete(&self.address).call();
    }
}

fn post(address: &str, body: &Value) -> Value {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let mut reply = ureq::Agent::from(config).post(address).send_json(body).unwrap();
    let reply: Value = reply.body_mut().read_json().unwrap();
    assert!(reply["value"]["error"].is_null(), "{address}: {reply}");
    reply["value"].clone()
}
