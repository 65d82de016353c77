//! What gorouter's file says of the routing API, and of UAA, which gives tokens for it.

use std::time::Duration;

use reqwest::Url;
use rustls::ClientConfig;

use super::keys::{self, File, Pems};
use super::secrets;
use crate::alone::routing_api::{RoutingApi, Uaa};
use crate::alone::settings::Judge;
use crate::tls;

/// How often routes are listed where nothing is ever pruned.
const INTERVAL: Duration = Duration::from_secs(15);

/// The routing API, where the file names one.
pub(super) fn routing_api(file: &File, judge: &mut Judge) -> Option<RoutingApi> {
    let api = file.routing_api.as_ref().filter(|api| !api.uri.is_empty() && api.port != 0)?;
    let url = judge.found("routing_api.uri", url(&api.uri, api.port));
    let tls = judge.found("routing_api", spoken(api));
    let uaa = match api.auth_disabled {
        true => None,
        false => Some(judge.found("oauth", uaa(file))?),
    };
    let half = file.prune_stale_droplets_interval / 2;
    let interval = if half.is_zero() { INTERVAL } else { half };
    Some(RoutingApi { url: url?, tls: tls?, uaa, interval })
}

/// What is spoken to it: whom its own certificates vouch for is believed, and nobody else.
fn spoken(api: &keys::RoutingApi) -> Result<ClientConfig, String> {
    let roots = match &api.ca_certs.0 {
        none if none.iter().all(|pem| pem.trim().is_empty()) => secrets::trusted(&Pems::default())?,
        pems => {
            tls::certificates(&pems.join("\n")).map_err(|error| format!("ca_certs: {error}"))?
        }
    };
    let identity = secrets::identity(&api.cert_chain, &api.private_key)
        .map_err(|error| format!("cert_chain: {error}"))?;
    tls::client(&roots, identity, true).map_err(|error| error.to_string())
}

fn uaa(file: &File) -> Result<Uaa, String> {
    let usual = keys::OAuth::default();
    let oauth = file.oauth.as_ref().unwrap_or(&usual);
    let port = u16::try_from(oauth.port).ok().filter(|&port| port != 0).ok_or_else(|| {
        format!(
            "port is {}: UAA client requires TLS enabled; name the port on which UAA speaks it, \
             or say auth_disabled in routing_api",
            oauth.port
        )
    })?;
    let url = url(&format!("https://{}", oauth.token_endpoint), port);
    let roots = match &*oauth.ca_certs {
        "" => secrets::trusted(&Pems::default())?,
        path => std::fs::read_to_string(path)
            .map_err(|error| format!("ca_certs: cannot read {path}: {error}"))
            .and_then(|pem| {
                tls::certificates(&pem).map_err(|e| format!("ca_certs: {path}: {e}"))
            })?,
    };
    let tls = tls::client(&roots, None, !oauth.skip_ssl_validation);
    let buffer = file.token_fetcher_expiration_buffer_time;
    Ok(Uaa {
        url: url.map_err(|_| "token_endpoint: take UAA's host, without https:// and port")?,
        client: oauth.client_name.clone(),
        secret: oauth.client_secret.clone(),
        tls: tls.map_err(|error| error.to_string())?,
        retries_max: file.token_fetcher_max_retries,
        retry_interval: file.token_fetcher_retry_interval,
        expiry_buffer: Duration::from_secs(u64::try_from(buffer).unwrap_or_default()),
    })
}

/// The URL of a server, without a `/` at its end. What is refused is not shown: it may hold a
/// password.
fn url(uri: &str, port: u16) -> Result<String, String> {
    let told = format!("{}:{port}", uri.trim_end_matches('/'));
    let is_server = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && (url.path(), url.query(), url.fragment()) == ("/", None, None)
            && (url.username(), url.password()) == ("", None)
    };
    let url = Url::parse(&told).ok().filter(is_server);
    url.map(|url| url.as_str().trim_end_matches('/').to_owned())
        .ok_or_else(|| "take http://HOST or https://HOST, without a port and a path".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alone::gorouter::read;
    use crate::alone::settings::Refused;

    const API: &str = "routing_api: {uri: https://api.test, port: 3000, auth_disabled: true}";

    fn api(text: &str) -> RoutingApi {
        read(text).unwrap().routing_api.unwrap()
    }

    fn refused(text: &str) -> String {
        match read(text) {
            Err(Refused::Wrong(mistakes)) => mistakes.join("; "),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn one_that_is_not_turned_on_is_passed_over() {
        for text in [
            "",
            "routing_api: {}",
            "routing_api: null\noauth: null",
            "routing_api: {uri: \"\", port: 0, auth_disabled: false, ca_certs: \"\"}",
            "routing_api: {uri: http://api.test, port: 0}\noauth: {port: -1}",
            "routing_api: {uri: \"\", port: 3000}\noauth: {token_endpoint: uaa.test, port: 8443}",
        ] {
            let settings = read(text).unwrap();
            assert!(settings.routing_api.is_none(), "{text}");
            assert!(settings.unknown_keys.is_empty(), "{text}: {:?}", settings.unknown_keys);
        }
    }

    #[test]
    fn servers_are_where_the_file_says_them() {
        for (uri, expected) in [
            ("https://api.test", "https://api.test:3000"),
            ("http://10.0.0.1/", "http://10.0.0.1:3000"),
            ("http://[::1]", "http://[::1]:3000"),
        ] {
            assert_eq!(url(uri, 3000).as_deref(), Ok(expected));
        }
        for uri in [
            "api.test",
            "ftp://api.test",
            "http://",
            "http://api.test:80",
            "http://api.test/path",
            "http://user:pass@api.test",
            "http://api.test?a",
            "http://api.test#a",
            "http://a b",
        ] {
            let why = url(uri, 3000).unwrap_err();
            assert!(!why.contains("pass@"), "{why}");
        }
    }

    #[test]
    fn routes_are_listed_twice_in_the_time_of_a_pruning() {
        let text = |more: &str| format!("{API}\n{more}");
        assert_eq!(api(API).interval, Duration::from_secs(15));
        let fast = text("prune_stale_droplets_interval: 4s");
        assert_eq!(api(&fast).interval, Duration::from_secs(2));
        let never = text("prune_stale_droplets_interval: 0s");
        assert_eq!(api(&never).interval, Duration::from_secs(15));
    }

    #[test]
    fn tokens_come_from_uaa_and_its_secret_is_not_shown() {
        assert!(api(API).uaa.is_none());
        let text = "
routing_api: {uri: https://api.test, port: 3000}
oauth: {token_endpoint: uaa.test, port: 8443, client_name: gorouter, client_secret: hush, skip_ssl_validation: true}
";
        let uaa = api(text).uaa.unwrap();
        assert_eq!(
            (&*uaa.url, &*uaa.client, &*uaa.secret),
            ("https://uaa.test:8443", "gorouter", "hush")
        );
        assert_eq!((uaa.retries_max, uaa.retry_interval), (3, Duration::from_secs(5)));
        assert_eq!(uaa.expiry_buffer, Duration::from_secs(30));
        assert!(!format!("{:?}", read(text).unwrap()).contains("hush"));
        let more = format!(
            "{text}token_fetcher_max_retries: 1\ntoken_fetcher_retry_interval: 100ms\n\
             token_fetcher_expiration_buffer_time: -5\n"
        );
        let uaa = api(&more).uaa.unwrap();
        assert_eq!((uaa.retries_max, uaa.retry_interval), (1, Duration::from_millis(100)));
        assert_eq!(uaa.expiry_buffer, Duration::ZERO);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        const ON: &str = "routing_api: {uri: https://api.test, port: 3000}";
        for (text, expected) in [
            ("routing_api: {uri: api.test, port: 1}".to_owned(), "routing_api.uri: take http://"),
            (
                API.replace("port: 3000", "port: 3000, ca_certs: x"),
                "routing_api: ca_certs: there is no certificate",
            ),
            (
                API.replace("port: 3000", "port: 3000, cert_chain: x"),
                "routing_api: cert_chain: there is no private key",
            ),
            (ON.to_owned(), "oauth: port is 0: UAA client requires TLS enabled"),
            (
                format!("{ON}\noauth: {{token_endpoint: u.test, port: -1}}"),
                "oauth: port is -1: UAA client requires TLS enabled",
            ),
            (
                format!("{ON}\noauth: {{token_endpoint: u.test, port: 70000}}"),
                "oauth: port is 70000",
            ),
            (format!("{ON}\noauth: {{port: 8443}}"), "oauth: token_endpoint: take UAA's host"),
            (
                format!("{ON}\noauth: {{token_endpoint: \"https://u.test\", port: 8443}}"),
                "oauth: token_endpoint",
            ),
            (
                format!("{ON}\noauth: {{token_endpoint: u.test, port: 8443, ca_certs: /nowhere}}"),
                "oauth: ca_certs: cannot read /nowhere",
            ),
        ] {
            let why = refused(&text);
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
