//! Work of any size in small pieces, between which others have their turn.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::StoreError;

/// How many records a piece takes: some ten milliseconds of a store that writes one thing at a time.
pub(super) const PIECE: usize = 1_000;
/// The shortest pause.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Does pieces until one finds nothing left, or until it is told to stop; answers the sum of all. Each pause is as long as
/// the piece before it, so that whoever else writes has half of the store's time at least.
pub(super) async fn in_pieces<F>(stop: &CancellationToken, piece: impl Fn() -> F) -> Result<usize, StoreError>
where
    F: Future<Output = Result<usize, StoreError>>,
{
    let mut sum = 0_usize;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let done = piece().await?;
        if done == 0 {
            break;
        }
        sum = sum.saturating_add(done);
        tokio::select! {
            () = tokio::time::sleep(began.elapsed().max(PAUSE_MIN)) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(sum)
}
