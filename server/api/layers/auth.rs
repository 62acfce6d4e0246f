//! Before every method of the contract: a good credential, and the permission that the method takes.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::header::AUTHORIZATION;
use ::http::{Extensions, HeaderMap, HeaderName, Request, Response};
use futures_util::future::Either;
use tonic::server::NamedService;
use tower::{Layer, Service};

use crate::api::layers::audit::{self, Seen, is_audited};
use crate::api::serve::peer;
use crate::api::status::from_fault;
use crate::fault::Fault;
use crate::identity::audit::Audit;
use crate::identity::caller::Caller;
use crate::identity::keyring::{CredentialError, Keyring};
use crate::identity::permission::{Required, required};
use crate::identity::token::BYTES_MAX;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const BEARER: &str = "bearer ";
const CREDENTIAL_BYTES_MAX: usize = BYTES_MAX;
/// Methods that answer a refusal with a verdict: the door itself says there what a key is not allowed.
const DECIDING: [&str; 4] = [
    "/tollgate.v1.TrackService/Track",
    "/tollgate.v1.TrackService/TrackBatch",
    "/tollgate.v1.TrackService/Check",
    "/tollgate.v1.TrackService/Reserve",
];

/// Puts [`Auth`] before services.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    keyring: Arc<Keyring>,
    audit: Arc<Audit>,
}

/// Lets those calls pass whose caller is known and may make them, with an `Arc<Caller>` in their extensions.
///
/// What takes no credential passes untouched, and what is no method of the contract: health and reflection are open, and the
/// router answers the rest.
#[derive(Clone, Debug)]
pub struct Auth<S> {
    keyring: Arc<Keyring>,
    audit: Arc<Audit>,
    inner: S,
}

impl AuthLayer {
    /// A layer that knows callers by that keyring, and keeps what they change in that log.
    #[must_use]
    pub const fn new(keyring: Arc<Keyring>, audit: Arc<Audit>) -> Self {
        Self { keyring, audit }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth { keyring: Arc::clone(&self.keyring), audit: Arc::clone(&self.audit), inner }
    }
}

impl<S: NamedService> NamedService for Auth<S> {
    const NAME: &'static str = S::NAME;
}

/// The service itself, a refusal, or a look into the store before either. Only the last takes an allocation.
type Answer<F, T> = Either<F, Either<Ready<T>, Pin<Box<dyn Future<Output = T> + Send>>>>;

impl<S, B, R> Service<Request<B>> for Auth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Some(required) = required(request.uri().path()) else {
            return Either::Left(self.inner.call(request));
        };
        if is_audited(required, request.uri().path()) {
            return Either::Right(Either::Right(Box::pin(self.witness(required, request))));
        }
        if required == Required::Nothing {
            return Either::Left(self.inner.call(request));
        }
        let credential = match credential(request.headers()) {
            Ok(credential) => credential,
            Err(error) => return Either::Right(Either::Left(ready(Ok(refused(&error))))),
        };
        let Some(known) = self.keyring.recall(credential) else {
            return Either::Right(Either::Right(Box::pin(self.ask(required, request))));
        };
        match admit(known, required, &request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Either::Left(self.inner.call(request))
            }
            Err(refusal) => Either::Right(Either::Left(ready(Ok(refusal)))),
        }
    }
}

impl<S> Auth<S> {
    /// Serves a call that leaves an entry in the audit log.
    fn witness<B, R>(
        &mut self,
        required: Required,
        mut request: Request<B>,
    ) -> impl Future<Output = Result<Response<R>, S::Error>> + Send + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        B: Send + 'static,
        R: Default + Send,
    {
        let (mut inner, known, log) = (self.polled(), self.known(&request), Arc::clone(&self.audit));
        async move {
            let seen = Seen::new(request.uri().path(), request.extensions());
            if required == Required::Nothing {
                return audit::attempted(&log, seen, inner.call(request)).await;
            }
            let caller = match known.await {
                Ok(caller) => caller.at(peer(request.extensions())),
                Err(error) => return Ok(refused(&error)),
            };
            if let Err(missing) = caller.meets(required) {
                return Ok(audit::refused(&log, &caller, seen, missing).await);
            }
            if let Err(outside) = caller.require_network() {
                return Ok(audit::refused(&log, &caller, seen, outside).await);
            }
            request.extensions_mut().insert(Arc::clone(&caller));
            audit::witnessed(&log, &caller, seen, inner.call(request)).await
        }
    }

    /// Asks the store about a credential that is not remembered.
    fn ask<B, R>(
        &mut self,
        required: Required,
        mut request: Request<B>,
    ) -> impl Future<Output = Result<Response<R>, S::Error>> + Send + use<S, B, R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        B: Send + 'static,
        R: Default + Send,
    {
        let (mut inner, known) = (self.polled(), self.known(&request));
        async move {
            match admit(known.await, required, &request) {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(refusal) => Ok(refusal),
            }
        }
    }

    /// The service that was polled ready, which is the one to call; another takes its place.
    fn polled(&mut self) -> S
    where
        S: Clone,
    {
        let next = self.inner.clone();
        std::mem::replace(&mut self.inner, next)
    }

    /// Who calls, by the keyring or the store. The credential is taken out of the request first, which no thread may share.
    fn known<B>(
        &self,
        request: &Request<B>,
    ) -> impl Future<Output = Result<Arc<Caller>, CredentialError>> + Send + use<S, B> {
        let keyring = Arc::clone(&self.keyring);
        let credential = credential(request.headers()).map(str::to_owned);
        async move { keyring.authenticate(&credential?).await }
    }
}

/// The caller of a request over HTTP, by the same rules. Whether its key is allowed the network is for the door to answer.
pub async fn authenticate(
    keyring: &Keyring,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Arc<Caller>, CredentialError> {
    Ok(keyring.authenticate(credential(headers)?).await?.at(peer(extensions)))
}

/// The caller that this layer put into a request.
pub fn caller(extensions: &Extensions) -> Result<&Arc<Caller>, CredentialError> {
    extensions.get().ok_or(CredentialError::Missing)
}

fn admit<B, R: Default>(
    known: Result<Arc<Caller>, CredentialError>,
    required: Required,
    request: &Request<B>,
) -> Result<Arc<Caller>, Response<R>> {
    let caller = known.map_err(|error| refused(&error))?;
    caller.meets(required).map_err(|error| refused(&error))?;
    if caller.restrictions.is_none() {
        return Ok(caller);
    }
    let caller = caller.at(peer(request.extensions()));
    if !DECIDING.contains(&request.uri().path()) {
        caller.require_network().map_err(|error| refused(&error))?;
    }
    Ok(caller)
}

fn refused<R: Default>(fault: &dyn Fault) -> Response<R> {
    from_fault(fault).into_http()
}

/// The one credential of a request: `authorization: Bearer …` or `x-api-key`.
pub(in crate::api) fn credential(headers: &HeaderMap) -> Result<&str, CredentialError> {
    let bearers = headers.get_all(AUTHORIZATION).into_iter().map(|value| (value, true));
    let keys = headers.get_all(X_API_KEY).into_iter().map(|value| (value, false));
    let mut credentials = bearers.chain(keys);
    let (value, is_bearer) = credentials.next().ok_or(CredentialError::Missing)?;
    if credentials.next().is_some() {
        return Err(CredentialError::Ambiguous);
    }
    if value.len() > CREDENTIAL_BYTES_MAX {
        return Err(CredentialError::Invalid);
    }
    let text = value.to_str().map_err(|_| CredentialError::Invalid)?;
    if !is_bearer {
        return Ok(text);
    }
    match text.split_at_checked(BEARER.len()) {
        Some((scheme, credential)) if scheme.eq_ignore_ascii_case(BEARER) => Ok(credential.trim_start()),
        _ => Err(CredentialError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn check(headers: &[(&'static str, &str)], expected: Result<&str, &str>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let found = credential(&map).map_err(|error| format!("{error:?}"));
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{headers:?}");
    }

    #[test]
    fn one_credential_is_found_in_either_header() {
        check(&[("x-api-key", "abc")], Ok("abc"));
        check(&[("authorization", "Bearer abc")], Ok("abc"));
        check(&[("authorization", "bearer   a b")], Ok("a b"));
        check(&[("x-api-key", &"a".repeat(2_048))], Ok(&"a".repeat(2_048)));
    }

    #[test]
    fn none_and_several_and_others_are_refused() {
        check(&[], Err("Missing"));
        check(&[("authorization", "Bearer abc"), ("x-api-key", "abc")], Err("Ambiguous"));
        check(&[("x-api-key", "abc"), ("x-api-key", "abc")], Err("Ambiguous"));
        check(&[("authorization", "Bearer a"), ("authorization", "Bearer a")], Err("Ambiguous"));
        check(&[("authorization", "Basic abc")], Err("Invalid"));
        check(&[("authorization", "abc")], Err("Invalid"));
        check(&[("authorization", "")], Err("Invalid"));
        check(&[("x-api-key", &"a".repeat(2_049))], Err("Invalid"));
        check(&[("x-api-key", "schlüssel")], Err("Invalid"));
    }
}
