//! Which upstream a path is meant for, and what is left of the path for it.

use crate::percent;
use crate::upstreams::{Upstream, Upstreams};
use hyper::{HeaderMap, Uri, http::uri::PathAndQuery};
use std::sync::Arc;

/// Where a call goes.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) upstream: Arc<Upstream>,
    /// The project that the path names, percent-decoded.
    pub(super) project: Option<String>,
    /// The address at the upstream.
    pub(super) uri: Uri,
}

/// `/p/<project>/<upstream>/<path>`, `/<upstream>/<path>`, `/p/<project>/<path>`, or a bare path of an API that is known by its shape.
///
/// `None` also for a target without a path, as `OPTIONS *` has it.
pub(super) fn route(upstreams: &Upstreams, uri: &Uri, headers: &HeaderMap) -> Option<Route> {
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if !whole.starts_with('/') {
        return None;
    }
    let (project, whole) = match whole.trim_start_matches('/').strip_prefix("p/").and_then(|rest| Some((rest, rest.find('/')?))) {
        Some((rest, end)) if end > 0 => (Some(String::from_utf8_lossy(&percent::decoded(&rest[..end])).into_owned()), &rest[end..]),
        Some(_) | None => (None, whole),
    };
    // A base address that ends with a slash doubles the one before the upstream's name.
    let named = whole.trim_start_matches('/');
    let (first, rest) = named.split_at(named.find(['/', '?']).unwrap_or(named.len()));
    let (upstream, rest) = match upstreams.get(first) {
        Some(upstream) => (upstream, rest),
        None => {
            let bare = named.split('?').next().unwrap_or_default();
            (upstreams.of_bare_path(bare, |name| headers.contains_key(name))?, whole)
        }
    };
    Some(Route { uri: join(upstream, rest)?, upstream: upstream.clone(), project })
}

/// The address of the upstream with the rest of the call's path behind its own.
fn join(upstream: &Upstream, rest: &str) -> Option<Uri> {
    let mut parts = upstream.base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(upstream.path(rest)).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn check(path: &str, upstream: &str, uri: &str, project: Option<&str>) {
        let config = Config::parse(
            "[upstreams.openai]\nbase_url = 'http://o:1'\n[upstreams.anthropic]\nbase_url = 'http://a:2/'\n[upstreams.relay]\nbase_url = 'http://r:3/api/'",
        )
        .expect("a configuration");
        let found = route(&config.upstreams, &path.parse().expect("a path"), &HeaderMap::new()).expect("a route");
        let got = (found.upstream.name.as_str(), found.uri.to_string(), found.project.as_deref());
        assert_eq!(got, (upstream, uri.to_owned(), project), "{path}");
    }

    #[test]
    fn the_first_part_names_the_upstream_and_the_rest_is_untouched() {
        check("/openai/v1/chat/completions?a=%2F&b", "openai", "http://o:1/v1/chat/completions?a=%2F&b", None);
        check("/anthropic/v1/messages", "anthropic", "http://a:2/v1/messages", None);
        check("/relay/v1/x", "relay", "http://r:3/api/v1/x", None);
        check("/relay", "relay", "http://r:3/api", None);
        check("/openai//v1/x", "openai", "http://o:1//v1/x", None);
        check("/openai?x=1", "openai", "http://o:1/?x=1", None);
        check("//openai/v1/responses", "openai", "http://o:1/v1/responses", None);
        check("//p/web//openai/v1/x", "openai", "http://o:1/v1/x", Some("web"));
    }

    #[test]
    fn a_project_stands_before_it() {
        check("/p/web/openai/v1/responses", "openai", "http://o:1/v1/responses", Some("web"));
        check("/p/my%20app/v1/messages", "anthropic", "http://a:2/v1/messages", Some("my app"));
        check("/p/b%C3%A4r/anthropic/v1/messages?beta=true", "anthropic", "http://a:2/v1/messages?beta=true", Some("bär"));
    }

    #[test]
    fn a_target_without_a_path_leads_nowhere() {
        let upstreams = Config::parse("").expect("a configuration").upstreams;
        for (target, header) in [("*", "anthropic-version"), ("*", "x-goog-api-key"), ("api.example.com:443", "x-goog-api-key")] {
            let headers = HeaderMap::from_iter([(hyper::header::HeaderName::from_static(header), "x".parse().expect("a value"))]);
            assert!(
                route(&upstreams, &target.parse().expect("a target"), &headers)
                    .is_none_or(|found| target != "*" && found.uri.path() == "/")
            );
        }
    }

    #[test]
    fn a_bare_path_is_known_by_its_shape_and_another_is_not() {
        check("/v1/messages", "anthropic", "http://a:2/v1/messages", None);
        check("/v1/chat/completions?x", "openai", "http://o:1/v1/chat/completions?x", None);
        let upstreams = Config::parse("").expect("a configuration").upstreams;
        for path in ["/", "/favicon.ico", "/p/x", "/p/x/", "/nobody/v1/messages"] {
            assert!(route(&upstreams, &path.parse().expect("a path"), &HeaderMap::new()).is_none(), "{path}");
        }
    }
}
