//! The service itself: who calls, and through which door.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tollgate_client::v1;
use tonic::{Request, Response, Status};

use super::Door;
use super::watch::Pass;
use crate::api::rpc::track_service_server::TrackService;
use crate::api::status::from_fault;
use crate::identity::caller::Caller;

/// Answers one call: takes the caller out of the request, and turns a failure into a status.
macro_rules! through {
    ($door:expr, $call:ident, $request:expr) => {{
        let (caller, request) = parts($request)?;
        match $door.$call(&caller, request).await {
            Ok(response) => Ok(Response::new(response)),
            Err(error) => Err(from_fault(&error)),
        }
    }};
}

#[tonic::async_trait]
impl TrackService for Door {
    type WatchUsageStream = Pin<Box<dyn Stream<Item = Result<v1::WatchUsageResponse, Status>> + Send>>;

    async fn track(&self, request: Request<v1::TrackRequest>) -> Result<Response<v1::TrackResponse>, Status> {
        through!(self, track, request)
    }

    async fn complete(
        &self,
        request: Request<v1::CompleteRequest>,
    ) -> Result<Response<v1::CompleteResponse>, Status> {
        through!(self, complete, request)
    }

    async fn track_batch(
        &self,
        request: Request<v1::TrackBatchRequest>,
    ) -> Result<Response<v1::TrackBatchResponse>, Status> {
        through!(self, track_batch, request)
    }

    async fn check(&self, request: Request<v1::CheckRequest>) -> Result<Response<v1::CheckResponse>, Status> {
        through!(self, check, request)
    }

    async fn reserve(
        &self,
        request: Request<v1::ReserveRequest>,
    ) -> Result<Response<v1::ReserveResponse>, Status> {
        through!(self, reserve, request)
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendResponse>, Status> {
        through!(self, extend, request)
    }

    async fn settle(
        &self,
        request: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleResponse>, Status> {
        through!(self, settle, request)
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        through!(self, release, request)
    }

    async fn watch_usage(
        &self,
        request: Request<v1::WatchUsageRequest>,
    ) -> Result<Response<Self::WatchUsageStream>, Status> {
        let pass = Pass::of(&request).map_err(|error| from_fault(&error))?;
        let (caller, request) = parts(request)?;
        let updates = self.watch(&caller, pass, request).await.map_err(|error| from_fault(&error))?;
        let updates = updates.map(|update| update.map_err(|error| from_fault(&error)));
        Ok(Response::new(Box::pin(updates)))
    }

    async fn get_limits(
        &self,
        request: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        through!(self, limits, request)
    }

    async fn query_usage(
        &self,
        request: Request<v1::QueryUsageRequest>,
    ) -> Result<Response<v1::QueryUsageResponse>, Status> {
        through!(self, query_usage, request)
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        through!(self, list_events, request)
    }
}

/// The caller, whom the layer before has let in, and what it asks.
fn parts<T>(request: Request<T>) -> Result<(Arc<Caller>, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    let caller = extensions.remove::<Arc<Caller>>();
    let caller = caller.ok_or_else(|| Status::internal("the call came past the credential check"))?;
    Ok((caller, message))
}
