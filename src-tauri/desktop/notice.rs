//! Native notifications of budgets.

use events::{Alert, Period, query::Fault};
use notify_rust::{Notification, Urgency};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tollbar_app::{diagnostics, words};

/// How many notifications may wait for a click at a time; those beyond are shown, and a click on them opens nothing.
const WAITING_MAX: usize = 16;
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Shows that a budget crossed a threshold. `open` is called when the user clicks on it.
///
/// Talking to the notification daemon blocks, and waiting for a click lasts as long as the notification: each has its own thread.
pub(crate) fn show(alert: &Alert, period: Option<Period>, open: impl Fn() + Send + 'static) {
    let mut notification = Notification::new();
    notification.appname("Tollbar").icon("tollbar-desktop").summary(&summary(alert)).body(&body(alert, period));
    #[cfg(all(unix, not(target_os = "macos")))]
    notification.action("default", "Open dashboard").action("open", "Open dashboard");
    notification.urgency(if alert.percent >= 100 { Urgency::Critical } else { Urgency::Normal });
    thread::spawn(move || {
        let shown = match notification.show() {
            Ok(shown) => shown,
            Err(error) => return diagnostics::note(format_args!("the notification of a budget could not be shown: {error}")),
        };
        if WAITING.fetch_add(1, Ordering::Relaxed) < WAITING_MAX {
            wait(shown, &open);
        }
        WAITING.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Shows why the program ends before it began, as nobody may look at its stderr. Returns when it is shown, or when `patience` ends.
pub(crate) fn farewell(fault: &Fault, patience: Duration) {
    let (done, shown) = mpsc::channel();
    let mut notification = Notification::new();
    notification
        .appname("Tollbar")
        .icon("tollbar-desktop")
        .summary("Tollbar cannot start")
        .body(&format!("{}\n{}", fault.message, fault.hint));
    thread::spawn(move || {
        // It stands on stderr too; whoever waited may have given up.
        let _ = notification.show();
        let _ = done.send(());
    });
    let _ = shown.recv_timeout(patience);
}

#[cfg(all(unix, not(target_os = "macos")))]
fn wait(shown: notify_rust::NotificationHandle, open: &dyn Fn()) {
    shown.wait_for_action(|action| {
        if matches!(action, "default" | "open") {
            open();
        }
    });
}

/// Elsewhere a notification cannot be waited for without a bundle that the system knows.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn wait(_shown: notify_rust::NotificationHandle, _open: &dyn Fn()) {}

fn summary(alert: &Alert) -> String {
    format!("Budget {} at {} %", alert.budget, alert.percent)
}

fn body(alert: &Alert, period: Option<Period>) -> String {
    let when = match period {
        Some(Period::Day) => " today",
        Some(Period::Week) => " this week",
        Some(Period::Month) => " this month",
        None => "",
    };
    format!("{} of {} spent{when}", words::dollars(alert.spent), words::dollars(alert.limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_says_budget_threshold_spent_and_limit() {
        let alert = Alert {
            budget: "month".into(),
            period_start: "2026-11-01".parse().unwrap(),
            percent: 80,
            spent: "16.02".parse().unwrap(),
            limit: "20".parse().unwrap(),
        };
        assert_eq!(summary(&alert), "Budget month at 80 %");
        assert_eq!(body(&alert, Some(Period::Month)), "$16.02 of $20.00 spent this month");
        assert_eq!(body(&alert, None), "$16.02 of $20.00 spent");
    }
}
