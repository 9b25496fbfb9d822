//! The data sets by name, and what is refused before one is read.

use super::BuildError;
use serde::de::DeserializeOwned;

/// Twice the largest of them (models.dev has 7.4 MB).
pub const SET_BYTES_MAX: usize = 16 << 20;

/// Four times the deepest of them.
const DEPTH_MAX: u32 = 64;

/// A public set of prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// pydantic/genai-prices: dated prices, variants by tier.
    GenaiPrices,
    /// wakamex/model-prices: the labs' history, with the source of each change.
    ModelPrices,
    /// BerriAI/litellm: today's prices of many tiers and regions.
    LiteLlm,
    /// models.dev: today's prices of very many sellers.
    ModelsDev,
}

impl Set {
    /// All of them, in the order of trust.
    pub const ALL: [Set; 4] = [Set::GenaiPrices, Set::ModelPrices, Set::LiteLlm, Set::ModelsDev];

    /// What rows, messages and the configuration call it.
    pub const fn name(self) -> &'static str {
        match self {
            Set::GenaiPrices => "genai-prices",
            Set::ModelPrices => "model-prices",
            Set::LiteLlm => "litellm",
            Set::ModelsDev => "models.dev",
        }
    }

    /// Where a person can look a price of it up.
    pub(super) const fn page(self) -> &'static str {
        match self {
            Set::GenaiPrices => "https://github.com/pydantic/genai-prices",
            Set::ModelPrices => "https://github.com/wakamex/model-prices",
            Set::LiteLlm => "https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json",
            Set::ModelsDev => "https://models.dev",
        }
    }

    /// Its file in a folder of sets.
    pub const fn file(self) -> &'static str {
        match self {
            Set::GenaiPrices => "genai-prices.json",
            Set::ModelPrices => "model-prices-snapshot.json",
            Set::LiteLlm => "litellm.json",
            Set::ModelsDev => "models.dev-api.json",
        }
    }
}

/// The bytes of the data sets.
#[derive(Clone, Copy, Debug)]
pub struct Sets<'a> {
    /// Of [`Set::GenaiPrices`].
    pub genai: &'a [u8],
    /// Of [`Set::ModelPrices`].
    pub model_prices: &'a [u8],
    /// Of [`Set::LiteLlm`].
    pub litellm: &'a [u8],
    /// Of [`Set::ModelsDev`].
    pub models_dev: &'a [u8],
}

/// Reads a set that may come from anywhere.
pub(super) fn read<T: DeserializeOwned>(set: Set, bytes: &[u8]) -> Result<T, BuildError> {
    let set = set.name();
    if bytes.len() > SET_BYTES_MAX {
        return Err(BuildError::TooLarge { set, bytes: bytes.len() });
    }
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<') {
        return Err(BuildError::WebPage { set });
    }
    if is_deep(bytes) {
        return Err(BuildError::Deep { set });
    }
    serde_json::from_slice(bytes).map_err(|cause| BuildError::Set { set, cause })
}

/// Whether something is nested deeper than any honest set nests it, also where nobody reads it.
fn is_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0u32, false, false);
    bytes.iter().any(|byte| {
        match (in_text, byte) {
            (true, b'\\') => {
                escaped = !escaped;
                return false;
            }
            (true, b'"') if !escaped => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
        escaped = false;
        depth > DEPTH_MAX
    })
}

/// Refuses a set that says nothing.
pub(super) fn expect(set: Set, says_something: bool) -> Result<(), BuildError> {
    if says_something { Ok(()) } else { Err(BuildError::Empty { set: set.name() }) }
}
