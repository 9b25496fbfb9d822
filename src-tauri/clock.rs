//! The one place that asks for the time.

use events::{Timestamp, Zone};
use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The time: the machine's, or the one that `TOLLBAR_NOW` fixes (RFC 3339, for tests).
pub fn now() -> Timestamp {
    static FIXED: OnceLock<Option<Timestamp>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let machine = || SystemTime::now().duration_since(UNIX_EPOCH);
    FIXED.get_or_init(|| Timestamp::parse(&std::env::var("TOLLBAR_NOW").ok()?)).unwrap_or_else(|| {
        // A clock before 1970 is wrong in a way that no answer of ours mends.
        Timestamp::from_micros(machine().map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)))
    })
}

/// How long ago that was, by the machine's clock; `None` where it lies in the future.
pub fn since(at: SystemTime) -> Option<Duration> {
    let at = at.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_micros(u64::try_from(now().micros()).ok()?);
    now.checked_sub(at)
}

/// The machine's time zone, UTC where it has none that is known.
pub fn machine_zone() -> Zone {
    let named = std::env::var("TZ").ok().and_then(|name| name.trim_start_matches(':').parse().ok());
    named.or_else(|| iana_time_zone::get_timezone().ok()?.parse().ok()).unwrap_or_default()
}
