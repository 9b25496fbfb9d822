//! The second process: the window, a client of the engine that runs.

use crate::{context, screen_fault};
use events::{
    Command,
    query::{Fault, FaultCode},
};
use serde_json::Value;
use std::{
    io::{self, Read as _},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tauri::{AppHandle, Emitter as _, Manager as _, State, WebviewUrl, WebviewWindowBuilder};
use tollbar_app::{
    config::Home,
    engine::{ControlClient, Told},
};

/// The window's name in the permissions of `tauri.conf.json`.
const WINDOW: &str = "main";
/// How often an engine that went is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The way to the engine, found again when it was lost.
struct Link {
    home: Home,
    client: Mutex<Option<ControlClient>>,
}

/// Runs until the window is closed, or until stdin ends if that is wished.
pub(crate) fn run(home: &Home, until_stdin_ends: bool) -> Result<(), Fault> {
    let link = Arc::new(Link { home: home.clone(), client: Mutex::default() });
    let pages = home.state.join("window");
    let watched = link.clone();
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, _, _| wake(app)))
        .manage(link)
        .invoke_handler(tauri::generate_handler![ask, tell])
        .setup(move |app| {
            WebviewWindowBuilder::new(app, WINDOW, WebviewUrl::default())
                .title("Tollbar")
                .inner_size(1180.0, 820.0)
                .min_inner_size(420.0, 480.0)
                .prevent_overflow()
                .data_directory(pages)
                // The dashboard is one page of our own; no link leads elsewhere.
                .on_navigation(|url| url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost"))
                .build()?;
            let handle = app.handle().clone();
            thread::spawn(move || watch(&handle, &watched));
            if until_stdin_ends {
                let handle = app.handle().clone();
                thread::spawn(move || {
                    // Nothing is ever written there; an error is an end too.
                    let _ = io::stdin().read(&mut [0]);
                    handle.exit(0);
                });
            }
            Ok(())
        })
        .build(context(".window"))
        .map_err(|error| screen_fault("cannot open the window", &error))?;
    app.run_return(|_, _| {});
    Ok(())
}

/// Asks the question of that name.
#[tauri::command]
async fn ask(link: State<'_, Arc<Link>>, name: String, question: Value) -> Result<Value, Fault> {
    with(&link, move |client| client.ask_by_name(&name, &question)).await
}

/// Tells a command.
#[tauri::command]
async fn tell(link: State<'_, Arc<Link>>, command: Command) -> Result<Told, Fault> {
    with(&link, move |client| client.tell(&command)).await
}

/// Calls the engine from a thread that may wait.
async fn with<T: Send + 'static>(link: &Arc<Link>, call: impl Fn(&ControlClient) -> Result<T, Fault> + Send + 'static) -> Result<T, Fault> {
    let link = link.clone();
    let called = tauri::async_runtime::spawn_blocking(move || match call(&link.client()?) {
        Err(fault) if fault.code == FaultCode::Unreachable => {
            // It may have been started anew, at another address.
            link.forget();
            call(&link.client()?)
        }
        answered => answered,
    });
    called.await.unwrap_or_else(|_| Err(Fault::new(FaultCode::Internal, "the question could not be asked", "")))
}

impl Link {
    fn client(&self) -> Result<ControlClient, Fault> {
        let mut client = self.client.lock().expect("nobody panics while holding it");
        if client.is_none() {
            *client = ControlClient::knock(&self.home)?;
        }
        client
            .clone()
            .ok_or_else(|| Fault::new(FaultCode::Unreachable, "no engine is running", "start Tollbar again, or run `tollbar serve`"))
    }

    fn forget(&self) {
        *self.client.lock().expect("nobody panics while holding it") = None;
    }
}

/// Passes on that something changed, also that an engine is there again.
fn watch(app: &AppHandle, link: &Link) {
    loop {
        if let Ok(client) = link.client() {
            // A page that is not there yet asks when it comes.
            let changed = |seq: &Value| app.emit("changed", serde_json::json!({ "seq": seq })).is_ok();
            changed(&Value::from(0));
            let _ = client.watch(|event, data| {
                let seq = serde_json::from_str::<Value>(data).map(|data| data["seq"].clone()).unwrap_or_default();
                event != "changed" || changed(&seq)
            });
            link.forget();
            changed(&Value::from(0));
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn wake(app: &AppHandle) {
    if let Some(window) = app.get_webview_window(WINDOW) {
        // A window that cannot be raised is still there.
        let _ = window.unminimize().and_then(|()| window.show()).and_then(|()| window.set_focus());
    }
}
