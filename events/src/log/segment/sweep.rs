//! How large and how fast segments are: `cargo test --release -p events segments_by_size -- --ignored --nocapture`.

use super::*;
use crate::{Event, Project, Source, Timestamp, Usage};
use std::fs;

/// Numbers that look random and are the same every time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn of(&mut self, from: u64, until: u64) -> u64 {
        from + self.next() % (until - from)
    }

    /// About log-normal: half of the numbers below `2^bits`, two thirds within a factor of three.
    fn around(&mut self, bits: u32) -> u64 {
        let power = (0..3).map(|_| self.of(0, 1536)).sum::<u64>();
        // Of the sum of three, the whole part is the power of two, the rest the way to the next one.
        ((1024 + power % 1024) << (power / 1024) << bits) >> 13
    }

    fn token(&mut self, prefix: &str) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
        let random = (0..24).map(|_| char::from(LETTERS[self.of(0, LETTERS.len() as u64) as usize]));
        prefix.chars().chain(random).collect()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.of(0, of.len() as u64) as usize]
    }
}

/// Calls as Claude Code's logs tell them: sessions of some thirty turns with growing contexts, one after the other.
/// `restated_percent` of them are told twice, first with a smaller output.
pub(super) fn lifelike(count: usize, restated_percent: u64) -> Vec<Entry> {
    let mut chance = Chance(1);
    let mut entries = Vec::with_capacity(count);
    while entries.len() < count {
        session(&mut chance, count, restated_percent, &mut entries);
    }
    entries
}

fn session(chance: &mut Chance, count: usize, restated_percent: u64, entries: &mut Vec<Entry>) {
    let bits = chance.next();
    let id = format!("{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}", bits as u32, bits >> 48, chance.of(0, 4096), chance.of(0, 4096), bits >> 16);
    let models = [("claude-opus-5-5", 5), ("claude-sonnet-5-5", 6), ("claude-sonnet-4-5-20250929", 3), ("claude-haiku-4-5-20251001", 2)];
    let model = chance.pick(&models.iter().flat_map(|(name, times)| std::iter::repeat_n(*name, *times)).collect::<Vec<_>>());
    let project = format!("project-{}", chance.of(0, 24));
    let branch = chance.pick(&["main", "fix/parser", "feat/dashboard"]);
    let mut at_ms = 1_784_000_000_000 + chance.of(0, 120 * 86_400) * 1000;
    let mut context = chance.of(14_000, 30_000);
    for _ in 0..chance.around(5).max(2) {
        if entries.len() == count {
            return;
        }
        at_ms += chance.of(3, 240) * 1000 + chance.of(150, 4000);
        let written = chance.of(200, 9000);
        let usage = Usage {
            at: Timestamp::from_millis(at_ms as i64),
            provider: "anthropic".into(),
            family: "anthropic".into(),
            model: Some(model.into()),
            call_id: Some(chance.token("msg_")),
            request_id: Some(chance.token("req_")),
            client: Some("claude-code".into()),
            project: Some(Project { by: ProjectBy::Folder, name: project.clone() }),
            session: Some(id.clone()),
            branch: Some(branch.into()),
            tier: Some("standard".into()),
            tokens: Tokens {
                input: chance.of(1, 12),
                cache_read: context,
                cache_write_1h: written,
                output: chance.around(8).max(8),
                ..Tokens::default()
            },
            certainty: Certainty::Reported,
            sources: Source::Log.into(),
            ..Usage::default()
        };
        context = (context + written).min(900_000);
        let mut push = |event| {
            let seq = Seq(entries.len() as u64 + 1);
            let recorded_at = Timestamp::from_micros(1_795_000_000_000_000 + (seq.0 / 4096 * 3977) as i64);
            entries.push(Entry { seq, recorded_at, key: usage.key(), event });
        };
        if chance.of(0, 100) < restated_percent {
            let early = Usage { tokens: Tokens { output: chance.of(1, 9), ..usage.tokens }, ..usage.clone() };
            push(Event::Used { usage: Box::new(early.clone()) });
            push(Event::Restated { before: Box::new(early), after: Box::new(usage.clone()) });
        } else {
            push(Event::Used { usage: Box::new(usage.clone()) });
        }
    }
    entries.truncate(count);
}

/// Time of the processor that this thread has had: what a loaded machine does not change.
fn processor_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// The result, and how long it took per event, in tenths of a nanosecond.
fn timed<T>(events: usize, work: impl FnOnce() -> T) -> (T, u64) {
    let begin = processor_ns();
    let result = work();
    (result, (processor_ns() - begin) * 10 / events as u64)
}

fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

fn measure(entries: &[Entry], size: usize, level: i32) {
    let mut encoder = Encoder::new();
    encoder.packer.set_level(level);
    let mut unpacker = Unpacker::new();
    let count = entries.len();
    let (segments, encode) = timed(count, || entries.chunks(size).map(|chunk| encoder.encode(chunk).expect("seals")).collect::<Vec<_>>());
    let mut body = Vec::new();
    let (_, unpack) = timed(count, || segments.iter().for_each(|segment| drop(unpacker.unpack_hot(&segment.hot, &mut body))));
    let (rows, fold) = timed(count, || {
        let rows = segments.iter().map(|segment| {
            unpacker.unpack_hot(&segment.hot, &mut body).expect("unpacks");
            Columns::read(&body).expect("reads").at.len()
        });
        rows.sum::<usize>()
    });
    let (wholes, whole) = timed(count, || {
        let read = |segment: &Segment| Whole::read(&mut unpacker, &segment.hot, &segment.cold).expect("reads");
        segments.iter().take(64).map(read).collect::<Vec<_>>()
    });
    let some = wholes.iter().map(Whole::len).sum::<usize>();
    let whole = whole * count as u64 / some as u64;
    let (_, entry) = timed(some, || {
        wholes.iter().for_each(|whole| (0..whole.len()).for_each(|index| drop(std::hint::black_box(whole.entry(index)))));
    });
    let bytes = |part: fn(&Segment) -> usize| tenths(segments.iter().map(|segment| part(segment) as u64).sum::<u64>() * 10 / count as u64);
    let largest = segments.iter().map(|segment| segment.cold.len().max(segment.hot.len())).max().unwrap_or(0);
    println!(
        "{size:>6} {level:>5} | {:>6} {:>6} {largest:>8} | {:>7} | {:>7} {:>7} | {:>7} {:>7} | {rows}",
        bytes(|segment| segment.hot.len()),
        bytes(|segment| segment.cold.len()),
        tenths(encode),
        tenths(unpack),
        tenths(fold),
        tenths(whole),
        tenths(entry),
    );
}

#[test]
#[ignore = "measures; means something in release only"]
fn segments_by_size() {
    for restated_percent in [0, 40] {
        let entries = lifelike(400_000, restated_percent);
        println!("{restated_percent} % of the calls restated; bytes and ns of processor time per event");
        println!("  size level |    hot   cold  largest |  encode |  unpack   +read |   whole   entry | rows");
        for size in [256, 512, 1024, 2048, 4096, 8192] {
            measure(&entries, size, 3);
        }
        for level in [1, 6, 9, 19] {
            measure(&entries[..100_000], 2048, level);
        }
    }
}
