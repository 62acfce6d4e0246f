//! The HTTP edge: JSON for callers that do not speak gRPC.

mod problem;

pub(super) use crate::api::http::problem::Problem;
