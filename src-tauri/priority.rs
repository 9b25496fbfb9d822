//! Who goes first where there are fewer processors than threads: calls that somebody waits for.

use std::time::Duration;

/// How much less than others a thread wants that nobody waits for (nice(2)). With more it would not keep up with the calls that pass.
#[cfg(target_os = "linux")]
const STEP_BACK: i32 = 5;

/// Lets other threads go before this one. Where the system knows priorities of whole programs only, nothing is done.
pub(crate) fn step_back() {
    // Refused: it goes on as it is.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(STEP_BACK);
}

/// How long a processor has worked for this thread; where the system is not asked, nothing.
pub(crate) fn worked() -> Duration {
    #[cfg(target_os = "linux")]
    return rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_thread_that_waits_does_not_work() {
        const WAIT: Duration = Duration::from_millis(50);
        let before = worked();
        std::thread::sleep(WAIT);
        assert!(worked() - before < WAIT / 2);
        let (began, before) = (Instant::now(), worked());
        while worked() == before {
            std::hint::black_box(began.elapsed());
        }
    }
}
