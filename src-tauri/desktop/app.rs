//! The life of the first process: one per session, from its start to Quit.

use crate::{
    complain, context,
    face::Face,
    feed::{Feed, News},
    notice, screen_fault,
    tray::{self, Tray},
};
use events::query::{Fault, FaultCode};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tauri::{App, AppHandle, Manager as _};
use tollbar_app::{config::Home, diagnostics, engine};

/// How long a panel that starts together with us may take to host the tray.
#[cfg(target_os = "linux")]
const TRAY_HOST_WAIT: Duration = Duration::from_secs(5);
/// How long the notification of a failed start may take.
const FAREWELL_WAIT: Duration = Duration::from_secs(2);

/// What the parts of the process share.
struct Desktop {
    program: PathBuf,
    /// `None` where the system has no tray at all. Locked on the main thread only.
    tray: Mutex<Option<Tray>>,
    /// Whether the window is to be opened as soon as there is something to show.
    wanted: AtomicBool,
    feed: Mutex<Option<Feed>>,
    failed: Mutex<Option<Fault>>,
}

/// Runs until Quit, a signal, or `tollbar stop`. A second start wakes the first one's window and returns at once.
pub(crate) fn run(home: Home, hidden: bool) -> Result<(), Fault> {
    // Asked now: after an update the same path is the new program, and the system's answer then is not.
    let program = std::env::current_exe().map_err(|error| screen_fault("cannot find this program", &error))?;
    let app = tauri::Builder::default()
        .plugin(tauri_plugin_single_instance::init(|app, args, _| {
            if !args.iter().any(|arg| arg == "--hidden") {
                open_window(app);
            }
        }))
        .manage(Desktop {
            program,
            tray: Mutex::default(),
            wanted: AtomicBool::new(!hidden),
            feed: Mutex::default(),
            failed: Mutex::default(),
        })
        .setup(move |app| Ok(begin(app, home)?))
        .build(context(""))
        .map_err(|error| screen_fault("cannot start the desktop", &error))?;
    let desktop = app.handle().clone();
    app.run_return(|_, _| {});
    let desktop = desktop.state::<Desktop>();
    // Stops the engine, if it is ours.
    drop(desktop.feed.lock().expect("nobody panics while holding it").take());
    let failed = desktop.failed.lock().expect("nobody panics while holding it").take();
    failed.map_or(Ok(()), Err)
}

fn begin(app: &mut App, home: Home) -> Result<(), Fault> {
    let handle = app.handle();
    let desktop = app.state::<Desktop>();
    let tray = put_tray(handle, &home.state.join("tray"));
    if tray.is_none() {
        desktop.wanted.store(true, Ordering::Relaxed);
    }
    *desktop.tray.lock().expect("nobody panics while holding it") = tray;

    let listener = handle.clone();
    *desktop.feed.lock().expect("nobody panics while holding it") = Some(Feed::start(home, move |news| hear(&listener, news))?);

    let ended = handle.clone();
    tauri::async_runtime::spawn(async move {
        engine::stop_signal().await;
        ended.exit(0);
    });
    #[cfg(target_os = "linux")]
    open_without_tray_host(handle.clone());
    Ok(())
}

/// Without the library that draws it, a tray icon panics: then there is none.
fn put_tray(app: &AppHandle, pictures: &Path) -> Option<Tray> {
    match catch_unwind(AssertUnwindSafe(|| Tray::new(app, pictures, press))) {
        Ok(Ok(tray)) => Some(tray),
        Ok(Err(error)) => {
            diagnostics::note(format_args!("there is no tray icon: {error}"));
            None
        }
        Err(_) => {
            diagnostics::note(format_args!("there is no tray icon; on Linux it needs libayatana-appindicator3"));
            None
        }
    }
}

fn press(app: &AppHandle, button: &str) {
    match button {
        tray::OPEN => open_window(app),
        tray::QUIT => app.exit(0),
        _ => {}
    }
}

/// Called on the feed's thread.
fn hear(app: &AppHandle, news: News) {
    let desktop = app.state::<Desktop>();
    match news {
        News::Figures(today, budgets, not_recording) => {
            let face = Face::of(&today, &budgets);
            show(app, not_recording.map_or(face.clone(), |fault| face.not_recording(&fault)));
            if desktop.wanted.swap(false, Ordering::Relaxed) {
                open_window(app);
            }
        }
        News::Alert(alert, period) => {
            let app = app.clone();
            notice::show(&alert, period, move || open_window(&app));
        }
        News::Trouble(fault) => {
            complain(&fault);
            show(app, Face::troubled(&fault));
        }
        News::Ended(Ok(())) => app.exit(0),
        News::Ended(Err(fault)) => {
            notice::farewell(&fault, FAREWELL_WAIT);
            *desktop.failed.lock().expect("nobody panics while holding it") = Some(fault);
            app.exit(1);
        }
    }
}

fn show(app: &AppHandle, face: Face) {
    let desktop = app.clone();
    // Posted, not waited for: the main thread may be waiting for this one.
    let posted = app.run_on_main_thread(move || {
        let desktop = desktop.state::<Desktop>();
        let mut tray = desktop.tray.lock().expect("nobody panics while holding it");
        if let Some(Err(error)) = tray.as_mut().map(|tray| tray.show(face)) {
            diagnostics::note(format_args!("the tray icon could not be changed: {error}"));
        }
    });
    if let Err(error) = posted {
        diagnostics::note(format_args!("the tray icon could not be changed: {error}"));
    }
}

/// Starts the window's process. If there is one already, the new one wakes its window and ends.
fn open_window(app: &AppHandle) {
    let program = app.state::<Desktop>().program.clone();
    thread::spawn(move || {
        let window = Command::new(program).args(["--window", "--until-stdin-ends"]).stdin(Stdio::piped()).spawn();
        let ended = window.and_then(|mut window| {
            // Held here while the window is open: it closes with this process, whatever ends it.
            let _tie = window.stdin.take();
            window.wait()
        });
        if let Err(error) = ended {
            complain(&Fault::new(FaultCode::Internal, format!("cannot open the window: {error}"), "see `tollbar dashboard`"));
        }
    });
}

/// Where no panel hosts tray icons (plain GNOME), nobody would see that this runs.
#[cfg(target_os = "linux")]
fn open_without_tray_host(app: AppHandle) {
    thread::spawn(move || {
        let begun = std::time::Instant::now();
        while !has_tray_host() {
            if begun.elapsed() > TRAY_HOST_WAIT {
                return open_window(&app);
            }
            thread::sleep(Duration::from_millis(500));
        }
    });
}

/// A session bus that does not answer has no panel either.
#[cfg(target_os = "linux")]
fn has_tray_host() -> bool {
    let asked = || {
        let bus = zbus::blocking::Connection::session()?;
        let name = zbus::names::BusName::try_from("org.kde.StatusNotifierWatcher")?;
        Ok::<_, zbus::Error>(zbus::blocking::fdo::DBusProxy::new(&bus)?.name_has_owner(name)?)
    };
    asked().unwrap_or(false)
}
