//! Calls as a developer's Claude Code makes them: sessions of some thirty calls in two dozen projects, contexts that grow, ids of
//! twenty-four random characters, and the usage object that the client logs. The same number gives the same calls.

use events::{Certainty, Project, ProjectBy, Said, Sighting, Source, Sources, Timestamp, Tokens, Usage};

const MODELS: [&str; 4] = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"];
const BRANCHES: [&str; 3] = ["main", "fix/parser", "feat/dashboard"];
/// 2026-11-20T18:00:00Z: the newest call begins before it.
const UNTIL_SECS: i64 = 1_795_197_600;
/// A million calls make four months: a team's worth of use.
const CALLS_PER_DAY: u64 = 8_333;
const PROJECTS: u64 = 24;

/// A small generator of random numbers (xorshift64*): benches need speed and repeatability, not quality.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.draw() >> 33) % bound
    }

    /// Many small ones, few large ones, as lengths of answers are.
    fn skewed(&mut self, median: u64) -> u64 {
        let sum: u64 = (0..4).map(|_| self.below(32)).sum();
        (median << (sum / 16)) / 16 + self.below(median)
    }

    fn id(&mut self, prefix: &str) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        id.extend((0..24).map(|_| char::from(ALPHABET[self.below(ALPHABET.len() as u64) as usize])));
        id
    }

    fn uuid(&mut self) -> String {
        let (a, b) = (self.draw(), self.draw());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            a as u32,
            (a >> 32) & 0xFFFF,
            (a >> 48) & 0xFFF,
            b & 0xFFF,
            (b >> 16) & 0xFFFF_FFFF_FFFF
        )
    }
}

/// `count` sightings, session after session, as an import meets them: sessions in no order of time.
pub(crate) fn sightings(seed: u64, count: u64) -> impl Iterator<Item = Sighting> {
    let mut random = Random::new(seed);
    let seconds = (count / CALLS_PER_DAY + 1) * 86_400;
    let mut session = Session::begin(&mut random, seconds);
    (0..count).map(move |_| {
        if session.calls_left == 0 {
            session = Session::begin(&mut random, seconds);
        }
        session.call(&mut random)
    })
}

struct Session {
    id: String,
    model: &'static str,
    branch: &'static str,
    project: String,
    at_millis: i64,
    context: u64,
    calls_left: u64,
}

impl Session {
    fn begin(random: &mut Random, seconds: u64) -> Session {
        Session {
            id: random.uuid(),
            model: MODELS[random.below(4) as usize],
            branch: BRANCHES[random.below(3) as usize],
            project: format!("project-{}", random.below(PROJECTS)),
            at_millis: (UNTIL_SECS - random.below(seconds) as i64) * 1_000,
            context: 14_000 + random.below(16_000),
            calls_left: 2 + random.skewed(22),
        }
    }

    fn call(&mut self, random: &mut Random) -> Sighting {
        self.calls_left -= 1;
        self.at_millis += 3_000 + random.below(240_000) as i64;
        let written = 200 + random.below(8_800);
        let tokens = Tokens {
            input: 1 + random.below(11),
            cache_read: self.context,
            cache_write_1h: written,
            output: 8 + random.skewed(180),
            ..Tokens::default()
        };
        self.context = (self.context + written).min(900_000);
        let said = serde_json::json!({
            "input_tokens": tokens.input, "cache_creation_input_tokens": written, "cache_read_input_tokens": tokens.cache_read,
            "output_tokens": tokens.output, "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
            "service_tier": "standard", "cache_creation": {"ephemeral_1h_input_tokens": written, "ephemeral_5m_input_tokens": 0},
            "inference_geo": "not_available", "speed": "standard",
        });
        let usage = Usage {
            at: Timestamp::from_millis(self.at_millis),
            provider: "anthropic".into(),
            family: "anthropic".into(),
            model: Some(self.model.into()),
            call_id: Some(random.id("msg_")),
            request_id: Some(random.id("req_")),
            client: Some("claude-code".into()),
            project: Some(Project { by: ProjectBy::Folder, name: self.project.clone() }),
            session: Some(self.id.clone()),
            branch: Some(self.branch.into()),
            tier: Some("standard".into()),
            tokens,
            certainty: Certainty::Reported,
            sources: Sources::only(Source::Log),
            ..Usage::default()
        };
        Sighting { usage: usage.into(), said: Some(Said::from(&said)) }
    }
}
