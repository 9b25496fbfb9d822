//! Who goes first where there are fewer processors than threads: calls that somebody waits for.

/// How much less than others a thread wants that nobody waits for (nice(2)). With more it would not keep up with the calls that pass.
#[cfg(target_os = "linux")]
const STEP_BACK: i32 = 5;

/// Lets other threads go before this one. Where the system knows priorities of whole programs only, nothing is done.
pub(crate) fn step_back() {
    // Refused: it goes on as it is.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(STEP_BACK);
}
