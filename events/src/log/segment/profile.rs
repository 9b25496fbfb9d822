//! A profile as bytes: what many calls have in common, written once.

use super::{
    Profile, SegmentError,
    bytes::{NO_TEXT, Reader, put_bytes, put_varint},
};
use crate::{Certainty, Project, ProjectBy, Source, Sources, Usage};

const CERTAINTIES: [Certainty; 4] = [Certainty::Unknown, Certainty::Estimated, Certainty::Partial, Certainty::Reported];
const WAYS: [ProjectBy; 4] = [ProjectBy::Hand, ProjectBy::Path, ProjectBy::Header, ProjectBy::Folder];
const SOURCES: [Source; 6] = [Source::Estimate, Source::Manual, Source::Otlp, Source::Log, Source::Connect, Source::Proxy];

// The numbers below stand in segments on people's disks. They are the places in the lists above, and neither ever changes.

const fn certainty_number(certainty: Certainty) -> u8 {
    match certainty {
        Certainty::Unknown => 0,
        Certainty::Estimated => 1,
        Certainty::Partial => 2,
        Certainty::Reported => 3,
    }
}

const fn way_number(by: ProjectBy) -> u8 {
    match by {
        ProjectBy::Hand => 0,
        ProjectBy::Path => 1,
        ProjectBy::Header => 2,
        ProjectBy::Folder => 3,
    }
}

const fn source_number(source: Source) -> u8 {
    match source {
        Source::Estimate => 0,
        Source::Manual => 1,
        Source::Otlp => 2,
        Source::Log => 3,
        Source::Connect => 4,
        Source::Proxy => 5,
    }
}

/// The bytes of a usage's profile: the same for equal profiles, wherever and whenever they are written.
pub(crate) fn put_profile(out: &mut Vec<u8>, usage: &Usage) {
    put_bytes(out, usage.provider.as_bytes());
    put_bytes(out, usage.family.as_bytes());
    for text in [&usage.model, &usage.request_model, &usage.device, &usage.client] {
        put_option(out, text.as_deref());
    }
    match &usage.project {
        None => out.push(0),
        Some(Project { by, name }) => {
            out.push(1 + way_number(*by));
            put_bytes(out, name.as_bytes());
        }
    }
    for text in [&usage.branch, &usage.tier, &usage.geo] {
        put_option(out, text.as_deref());
    }
    out.push(certainty_number(usage.certainty));
    out.push(usage.sources.iter().fold(0, |bits, source| bits | 1 << source_number(source)));
    put_varint(out, usage.status.map_or(0, |status| 1 + u64::from(status)));
}

fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => put_varint(out, 0),
        Some(text) => {
            put_varint(out, 1 + text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn option<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, SegmentError> {
    match reader.count(usize::MAX)? {
        0 => Ok(None),
        length => str::from_utf8(reader.bytes(length - 1)?).map(Some).map_err(|_| NO_TEXT),
    }
}

impl<'a> Profile<'a> {
    /// What `bytes` say.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Profile<'a>, SegmentError> {
        let mut reader = Reader::new(bytes);
        let profile = Profile {
            bytes,
            provider: reader.text()?,
            family: reader.text()?,
            model: option(&mut reader)?,
            request_model: option(&mut reader)?,
            device: option(&mut reader)?,
            client: option(&mut reader)?,
            project: match reader.byte()? {
                0 => None,
                way => Some((*WAYS.get(usize::from(way) - 1).ok_or(UNKNOWN)?, reader.text()?)),
            },
            branch: option(&mut reader)?,
            tier: option(&mut reader)?,
            geo: option(&mut reader)?,
            certainty: *CERTAINTIES.get(usize::from(reader.byte()?)).ok_or(UNKNOWN)?,
            sources: sources(reader.byte()?)?,
            status: match reader.varint()? {
                0 => None,
                status => Some(u16::try_from(status - 1).map_err(|_| UNKNOWN)?),
            },
        };
        reader.end()?;
        Ok(profile)
    }

    /// A usage of this profile that has nothing else yet.
    pub(super) fn usage(&self) -> Usage {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Usage {
            provider: self.provider.to_owned(),
            family: self.family.to_owned(),
            model: owned(self.model),
            request_model: owned(self.request_model),
            device: owned(self.device),
            client: owned(self.client),
            project: self.project.map(|(by, name)| Project { by, name: name.to_owned() }),
            branch: owned(self.branch),
            tier: owned(self.tier),
            geo: owned(self.geo),
            certainty: self.certainty,
            sources: self.sources,
            status: self.status,
            ..Usage::default()
        }
    }
}

const UNKNOWN: SegmentError = SegmentError::Damaged("a profile says what this program does not know");

fn sources(bits: u8) -> Result<Sources, SegmentError> {
    if bits >> SOURCES.len() != 0 {
        return Err(UNKNOWN);
    }
    let has = |source: &&Source| bits & 1 << source_number(**source) != 0;
    Ok(SOURCES.iter().filter(has).fold(Sources::default(), |all, source| all.and((*source).into())))
}
