//! How the program holds its memory: small, as a guest that stays all day.

/// Freed memory at the end of the heap goes back to the system beyond this.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_BYTES: i32 = 1 << 20;
/// What is larger has pages of its own, which go back when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const PAGES_BYTES: i32 = 256 << 10;

/// Makes the C library's allocator give back what is freed. To be called before there is a second thread.
///
/// By itself it makes a heap for each thread, and raises both thresholds with what it sees freed: after a million calls that holds 20 MiB
/// that nobody uses (docs/BENCHMARKS.md).
#[allow(unsafe_code, reason = "the C library has no other door to this, and a variable of the environment works for the next program only")]
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_TRIM_THRESHOLD, TRIM_BYTES), (libc::M_MMAP_THRESHOLD, PAGES_BYTES)] {
        // SAFETY: `mallopt` takes two numbers, refuses what it does not know, and locks the heap while it sets the parameter.
        unsafe { libc::mallopt(parameter, value) };
    }
}
