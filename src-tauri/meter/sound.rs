//! How long a sound is, by its beginning and its size. What is compressed at a rate that changes is taken to go on as it begins.

/// What is said so is spoken at about this rate, where the sound does not say its own.
const COMPRESSED_BYTES_PER_SECOND: u64 = 8_000;
/// OpenAI's bare samples: 24,000 a second, of two bytes (platform.openai.com/docs/guides/text-to-speech).
const SAMPLES_BYTES_PER_SECOND: u64 = 48_000;
/// Kilobits a second of MPEG 1, layer 3, and of MPEG 2, by the number in the head of a frame.
const MPEG_1_KBITS: [u64; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const MPEG_2_KBITS: [u64; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// The seconds that a sound of so many bytes takes, of which these are the first; `None` where there is none.
pub(super) fn seconds(beginning: &[u8], bytes: u64, content_type: &str) -> Option<u64> {
    if beginning.is_empty() {
        return None;
    }
    if let Some(seconds) = flac_seconds(beginning) {
        return Some(seconds);
    }
    let rate = match content_type {
        "audio/pcm" | "audio/l16" => Some(SAMPLES_BYTES_PER_SECOND),
        _ => wave_bytes_per_second(beginning).or_else(|| mpeg_bytes_per_second(beginning)),
    };
    Some(bytes.div_ceil(rate.filter(|rate| *rate > 0).unwrap_or(COMPRESSED_BYTES_PER_SECOND)))
}

/// RIFF's chunk `fmt ` tells it.
fn wave_bytes_per_second(beginning: &[u8]) -> Option<u64> {
    let riff = beginning.strip_prefix(b"RIFF").filter(|riff| riff.get(4..8) == Some(b"WAVE"))?;
    let at = memchr::memmem::find(riff, b"fmt ")?;
    let rate = riff.get(at + 16..at + 20)?.first_chunk()?;
    Some(u32::from_le_bytes(*rate).into())
}

/// FLAC tells its samples, and how many of them are a second.
fn flac_seconds(beginning: &[u8]) -> Option<u64> {
    let info = beginning.strip_prefix(b"fLaC")?.get(14..22)?.first_chunk()?;
    let info = u64::from_be_bytes(*info);
    let (samples_per_second, samples) = (info >> 44, info & 0xf_ffff_ffff);
    (samples > 0 && samples_per_second > 0).then(|| samples.div_ceil(samples_per_second))
}

/// The rate of the first frame of an MP3.
fn mpeg_bytes_per_second(beginning: &[u8]) -> Option<u64> {
    let tag_bytes = match beginning {
        // Seven bits in each byte.
        [b'I', b'D', b'3', _, _, _, a, b, c, d, ..] => 10 + [a, b, c, d].iter().fold(0, |sum, byte| sum << 7 | usize::from(**byte)),
        _ => 0,
    };
    let frame = beginning.get(tag_bytes..)?;
    let [0xff, version, rate, ..] = *frame else { return None };
    let rates = match version & 0xfe {
        0xfa => MPEG_1_KBITS,
        0xf2 | 0xe2 => MPEG_2_KBITS,
        _ => return None,
    };
    rates.get(usize::from(rate >> 4)).map(|kilobits| kilobits * 125)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_sound_tells_how_long_it_is() {
        let wave = [b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".as_slice(), &24_000u32.to_le_bytes(), &48_000u32.to_le_bytes()].concat();
        assert_eq!(seconds(&wave, 96_044, ""), Some(3));
        let flac = [b"fLaC\0\0\0\x22".as_slice(), &[0; 10], &(24_000u64 << 44 | 60_000).to_be_bytes()].concat();
        assert_eq!(seconds(&flac, 1, ""), Some(3));
        let mp3 = b"ID3\x03\0\0\0\0\0\x02xx\xff\xf3\x84\xc4";
        assert_eq!(seconds(mp3, 24_000, "audio/mpeg"), Some(3), "64 kilobits a second");
        assert_eq!(seconds(b"OggS", 16_000, "audio/ogg"), Some(2));
        assert_eq!(seconds(b"\0\0", 96_000, "audio/pcm"), Some(2));
        assert_eq!(seconds(b"", 9, ""), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), kind in 0usize..4, all in any::<u64>()) {
            let bytes = [[b"RIFF".as_slice(), b"fLaC", b"ID3", b""][kind], &bytes].concat();
            seconds(&bytes, all, "");
        }
    }
}
