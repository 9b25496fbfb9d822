//! What is recorded about prices: books, what the user agreed with providers, and by what list prices are multiplied.

use crate::{Factor, PriceBook, Rates, Tier, Timestamp, prices::BOOK_BYTES_MAX};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, io::Read};

/// A book that was adopted: what it says otherwise than the books before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// SHA-256 of the whole book's bytes, in hex.
    pub id: String,
    /// From when on calls are priced by it; from ever: only ever the first, which is there whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Whether it is one that the program shipped with.
    #[serde(default)]
    pub bundled: bool,
    /// A price book of the models that it adds or prices otherwise. A model that it leaves out keeps its prices: retired rows are never
    /// dropped.
    pub changes: PackedBook,
}

/// A price that the user agreed with a provider, or found out: it goes before every book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct AgreedPrice {
    /// Whose.
    pub name: AgreedName,
    /// The first instant at which it holds. In a wish, now if not named, and then it fills in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Whether it prices earlier calls too that have no price.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fills: bool,
    /// The first instant at which it no longer holds; until another begins, if not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The rates. Where the cache has none, it costs as input does.
    pub rates: Rates,
}

/// What a price is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct AgreedName {
    /// The model, by a name that calls have, as it is or without date, region and reseller.
    pub model: String,
    /// Only calls to this provider; to every one, if not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// As which tier calls are served.
    #[serde(default)]
    pub tier: Tier,
}

/// By what the list prices of a provider are multiplied: a relay's surcharge, or a discount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Multiplier {
    /// Whose, by the name of the upstream.
    pub provider: String,
    /// By how much; 1 ends it.
    pub factor: Factor,
    /// From when on. In a wish, from now on if not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
}

/// A price book's text, compressed. In JSON as hex, which the journal's own compression halves again.
#[derive(Clone, PartialEq, Eq)]
pub struct PackedBook(Vec<u8>);

impl PackedBook {
    /// As hex it must fit a line of the journal, and several of them a segment of the store.
    pub const BYTES_MAX: usize = 384 << 10;
    /// As good as it gets before it takes long.
    const LEVEL: i32 = 15;

    /// Packs a book's text; `None` where it is too large.
    pub(crate) fn pack(text: &str) -> Option<PackedBook> {
        let packed = zstd::encode_all(text.as_bytes(), PackedBook::LEVEL).expect("memory takes it");
        (packed.len() <= PackedBook::BYTES_MAX).then_some(PackedBook(packed))
    }

    /// The book; `None` where it is damaged.
    pub(crate) fn unpack(&self) -> Option<PriceBook> {
        let mut text = Vec::new();
        zstd::Decoder::new(&self.0[..]).ok()?.take(BOOK_BYTES_MAX as u64 + 1).read_to_end(&mut text).ok()?;
        PriceBook::from_json(&text).ok()
    }
}

impl fmt::Debug for PackedBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedBook({} bytes)", self.0.len())
    }
}

impl Serialize for PackedBook {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.0);
        }
        let digit = |half: u8| char::from_digit(u32::from(half), 16).expect("half a byte is one digit");
        serializer.serialize_str(&self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for PackedBook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PackedBook, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a packed price book")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_str<E: de::Error>(self, hex: &str) -> Result<Vec<u8>, E> {
                let digits = hex.as_bytes();
                let byte = |pair: &[u8]| {
                    let digit = |digit: u8| char::from(digit).to_digit(16);
                    u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
                };
                let bytes = digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(byte).collect::<Option<Vec<u8>>>());
                bytes.flatten().ok_or_else(|| E::custom("a packed price book is written in hex"))
            }
        }
        let bytes = if deserializer.is_human_readable() { deserializer.deserialize_str(Bytes)? } else { deserializer.deserialize_bytes(Bytes)? };
        Ok(PackedBook(bytes))
    }
}
