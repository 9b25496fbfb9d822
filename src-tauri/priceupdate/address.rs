//! Where a data set is: an https address, a file, or a server on this machine.

use crate::pricebuild::Set;
use hyper::Uri;
use std::{fmt, net::IpAddr, path::PathBuf};

/// Where a data set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On a server. Without TLS only on this machine: on the way, others could change what a call costs.
    Server(Uri),
    /// In a file.
    File(PathBuf),
}

impl Address {
    /// Where its makers publish a set (prices.md 1).
    pub fn of(set: Set) -> Address {
        let text = match set {
            Set::GenaiPrices => "https://raw.githubusercontent.com/pydantic/genai-prices/refs/heads/main/prices/new_data/v2/data.json",
            Set::ModelPrices => "https://raw.githubusercontent.com/wakamex/model-prices/data/v1/latest.json",
            Set::LiteLlm => "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json",
            Set::ModelsDev => "https://models.dev/api.json",
        };
        Address::parse(text).expect("a constant that is an address")
    }

    /// Reads an address; `None` for what is none, or not one that can be trusted.
    pub fn parse(text: &str) -> Option<Address> {
        if let Some(path) = text.strip_prefix("file://") {
            return path.starts_with('/').then(|| Address::File(path.into()));
        }
        let uri: Uri = text.parse().ok()?;
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match uri.scheme_str()? {
            "https" => Some(Address::Server(uri)),
            "http" if loopback => Some(Address::Server(uri)),
            _ => None,
        }
    }

    /// The address of another file in the same place.
    pub(super) fn beside(&self, name: &str) -> Option<Address> {
        match self {
            Address::File(path) => Some(Address::File(path.with_file_name(name))),
            Address::Server(uri) => {
                let text = uri.to_string();
                let folder = text.split('?').next()?.rsplit_once('/')?.0;
                Address::parse(&format!("{folder}/{name}"))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Server(uri) => write!(f, "{uri}"),
            Address::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}
