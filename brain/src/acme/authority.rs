//! One order with an authority that speaks ACME: account, order, proof, certificate.

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeHandle, ChallengeType, Error,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use lattice_model::CustomDomain;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tracing::warn;

use super::orders::Authority;
use super::transport::{Line, Transport};
use super::{AcmeConfig, Challenge, Responder};
use crate::Handle;
use crate::actor::{Patience, Secret};
use crate::custom_domains::{AcmeAccount, Change, OrderFailure};

/// How long all of an order may take.
const ORDER: Duration = Duration::from_secs(300);
/// How an order is looked at until the authority has made up its mind.
const LOOKS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));
/// What every type of problem begins with.
const PROBLEM_PREFIX: &str = "urn:ietf:params:acme:error:";

/// An authority, and who we are to it.
pub(super) struct Acme {
    config: AcmeConfig,
    line: Arc<dyn Line>,
    looks: RetryPolicy,
    brain: Handle,
    responder: Arc<dyn Responder>,
    /// Held while we introduce ourselves, so that we do it once.
    introducing: Mutex<()>,
}

/// What is kept of an account, as JSON: our name and our key there, and where the authority was told
/// that it may write to.
#[derive(Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    credentials: AccountCredentials,
    #[serde(default)]
    email: Option<String>,
}

/// How a host is proved to be ours, in the order of trying: behind a middle-man one may work where
/// the other does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http01,
    TlsAlpn01,
}

/// An order whose host is proved; or why it is not, in the authority's words.
type Proved = Result<Order, String>;

// === impl Acme ===

impl Acme {
    pub(super) fn new(
        config: AcmeConfig,
        line: Arc<dyn Line>,
        brain: Handle,
        responder: Arc<dyn Responder>,
    ) -> Self {
        Self { config, line, looks: LOOKS, brain, responder, introducing: Mutex::default() }
    }

    async fn order(&self, host: &str, transport: &Transport) -> Result<CustomDomain, String> {
        let (account, first) = self.begin(host, transport).await?;
        let mut first = Some(first);
        let mut refusals = Vec::new();
        for kind in [Kind::Http01, Kind::TlsAlpn01] {
            let order = match first.take() {
                Some(order) => order,
                None => new_order(&account, host).await.map_err(words)?,
            };
            match self.prove(order, host, kind).await.map_err(words)? {
                Ok(order) => return self.fetch(order, host).await.map_err(words),
                Err(why) => refusals.push(format!("{kind}: {why}")),
            }
        }
        Err(refusals.join("; "))
    }

    /// Who we are, and an order; an authority that has forgotten us is told again.
    async fn begin(&self, host: &str, transport: &Transport) -> Result<(Account, Order), String> {
        let account = self.account(transport, false).await?;
        match new_order(&account, host).await {
            Ok(order) => Ok((account, order)),
            Err(Error::Api(problem)) if is_of_type(&problem, "accountDoesNotExist") => {
                let account = self.account(transport, true).await?;
                let order = new_order(&account, host).await.map_err(words)?;
                Ok((account, order))
            }
            Err(error) => Err(words(error)),
        }
    }

    async fn account(&self, transport: &Transport, is_forgotten: bool) -> Result<Account, String> {
        let _introducing = self.introducing.lock().await;
        let builder = Account::builder_with_http(Box::new(transport.clone()));
        let directory = &self.config.directory;
        if let Some(known) =
            self.brain.shelf.holdings().account(directory).filter(|_| !is_forgotten)
        {
            let Known { credentials, email } = read(known)?;
            let account = builder.from_credentials(credentials).await.map_err(words)?;
            if email != self.config.email
                && let Err(problem) = self.move_to(&account, read(known)?.credentials).await
            {
                warn!(directory, problem, "the authority does not know yet where to write to");
            }
            return Ok(account);
        }
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let made = builder.create(&wanted, directory.clone(), None).await;
        let (account, credentials) = made.map_err(words)?;
        self.keep(credentials).await?;
        Ok(account)
    }

    /// Where the authority may write to, as an URL.
    fn contact(&self) -> Option<String> {
        self.config.email.as_ref().map(|email| format!("mailto:{email}"))
    }

    /// Tells the authority where it may write to from now on.
    async fn move_to(&self, account: &Account, ours: AccountCredentials) -> Result<(), String> {
        let contact = self.contact();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        account.update_contacts(&contact).await.map_err(words)?;
        self.keep(ours).await
    }

    /// Keeps who we are to the authority, and what it knows.
    async fn keep(&self, credentials: AccountCredentials) -> Result<(), String> {
        let known = Known { credentials, email: self.config.email.clone() };
        let credentials = serde_json::to_string(&known).map_err(|e| e.to_string())?;
        let directory = self.config.directory.clone();
        let change = Change::Account(AcmeAccount { directory, credentials });
        let kept = self.brain.keep(Secret::Host(change), Patience::Wait).await;
        kept.map_err(|e| e.to_string())
    }

    /// Proves in this way that the host is ours.
    async fn prove(&self, mut order: Order, host: &str, kind: Kind) -> Result<Proved, Error> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(kind.challenge_type()) else {
                return Ok(Err("the authority does not offer it".to_owned()));
            };
            self.responder.present(host, answer(kind, host, &challenge)?).await;
            // An authority may judge at once, and one proof's end is not the order's.
            match challenge.set_ready().await {
                Ok(()) => {}
                Err(Error::Api(problem)) => return Ok(Err(told(&problem))),
                Err(error) => return Err(error),
            }
        }
        match order.poll_ready(&self.looks).await {
            Ok(OrderStatus::Ready) => Ok(Ok(order)),
            Ok(_) | Err(Error::Api(_)) => Ok(Err(reason(&mut order).await?)),
            Err(error @ Error::Timeout(_)) => Ok(Err(words(error))),
            Err(error) => Err(error),
        }
    }

    /// The certificate of an order that is ready, with a new key.
    async fn fetch(&self, mut order: Order, host: &str) -> Result<CustomDomain, Error> {
        let key = order.finalize().await?;
        let certificate = order.poll_certificate(&self.looks).await?;
        Ok(CustomDomain { host: host.to_owned(), certificate, key })
    }
}

#[async_trait]
impl Authority for Acme {
    async fn obtain(&self, host: &str) -> Result<CustomDomain, OrderFailure> {
        let transport = Transport::new(Arc::clone(&self.line));
        let ordered = tokio::time::timeout(ORDER, self.order(host, &transport)).await;
        self.responder.withdraw(host).await;
        let ordered = ordered.unwrap_or_else(|_| Err(format!("it took more than {ORDER:?}")));
        ordered.map_err(|problem| OrderFailure { problem, retry_after: transport.rest() })
    }
}

fn read(account: &AcmeAccount) -> Result<Known, String> {
    serde_json::from_str(&account.credentials)
        .map_err(|_| "what is kept of our account there cannot be read".to_owned())
}

async fn new_order(account: &Account, host: &str) -> Result<Order, Error> {
    account.new_order(&NewOrder::new(&[Identifier::Dns(host.to_owned())])).await
}

fn answer(kind: Kind, host: &str, challenge: &ChallengeHandle<'_>) -> Result<Challenge, Error> {
    let authorization = challenge.key_authorization();
    match kind {
        Kind::Http01 => {
            let (token, answer) = (challenge.token.clone(), authorization.as_str().to_owned());
            Ok(Challenge::Http { token, answer })
        }
        Kind::TlsAlpn01 => {
            let made = shown(host, authorization.digest().as_ref());
            made.map_err(|error| Error::Other(Box::new(error)))
        }
    }
}

/// The certificate that a handshake for `acme-tls/1` shows.
fn shown(host: &str, digest: &[u8]) -> Result<Challenge, rcgen::Error> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    Ok(Challenge::TlsAlpn { certificate, key: key.serialize_pem() })
}

/// Why the authority takes a proof for none.
async fn reason(order: &mut Order) -> Result<String, Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let refreshed = authorization.refresh().await?;
        let mut problems = refreshed.challenges.iter().filter_map(|one| one.error.as_ref());
        if let Some(problem) = problems.next() {
            return Ok(told(problem));
        }
    }
    Ok("the authority does not say why".to_owned())
}

/// An error for a person, with what lies below it.
fn words(error: Error) -> String {
    let Error::Api(problem) = &error else {
        let mut text = error.to_string();
        let mut below = std::error::Error::source(&error);
        while let Some(cause) = below {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            below = cause.source();
        }
        return text;
    };
    told(problem)
}

fn told(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("problem without a type");
    let kind = kind.strip_prefix(PROBLEM_PREFIX).unwrap_or(kind);
    match &problem.detail {
        Some(detail) => format!("{detail} ({kind})"),
        None => kind.to_owned(),
    }
}

fn is_of_type(problem: &Problem, kind: &str) -> bool {
    let full = problem.r#type.as_deref().unwrap_or_default();
    full.strip_prefix(PROBLEM_PREFIX) == Some(kind)
}

// === impl Kind ===

impl Kind {
    fn challenge_type(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
            Self::TlsAlpn01 => ChallengeType::TlsAlpn01,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        })
    }
}

#[cfg(test)]
mod tests;
