//! How the program holds its memory: small, as a guest that stays all day.

/// Proxy, meter and writer allocate at once, and with one heap wait for one another; three hold two MiB more (docs/BENCHMARKS.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const HEAPS: i32 = 3;
/// Freed memory at the end of a heap goes back to the system beyond this.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_BYTES: i32 = 1 << 20;
/// What is larger has pages of its own, which go back when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const PAGES_BYTES: i32 = 1 << 20;

/// Makes the C library's allocator hold little. To be called before there is a second thread.
///
/// By itself it makes a heap for each thread, and raises both thresholds with what it sees freed (docs/BENCHMARKS.md).
#[allow(unsafe_code, reason = "the C library has no other door to this, and a variable of the environment works for the next program only")]
pub fn hold_little() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_ARENA_MAX, HEAPS), (libc::M_TRIM_THRESHOLD, TRIM_BYTES), (libc::M_MMAP_THRESHOLD, PAGES_BYTES)] {
        // SAFETY: `mallopt` takes two numbers, refuses what it does not know, and locks the heap while it sets the parameter.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives the pages back that nothing stands in, wherever in a heap they are. It takes some milliseconds, in which who allocates waits: for
/// when there is nothing to do.
#[allow(unsafe_code, reason = "the C library has no other door to this")]
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` touches free memory only, and locks each heap while it looks through it.
    unsafe {
        libc::malloc_trim(0)
    };
}
