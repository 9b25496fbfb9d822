//! Recorded sessions of Claude Code without what they repeat of others.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

/// Whether a line repeats the call of a subagent. The recorded totals are of a session's own calls.
pub fn is_progress(line: &[u8]) -> bool {
    line.windows(17).any(|part| part == br#""type":"progress""#)
}

/// A session without the lines that repeat its subagents' calls.
pub fn without_progress(session: &[u8]) -> Vec<u8> {
    session.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_progress(line)).flatten().copied().collect()
}
