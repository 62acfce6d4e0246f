//! A server that runs: its data directory, its port, and the rooms behind it, begun and ended in order.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::api::front::{Front, Reflects};
use crate::api::serve::{Drained, Port};
use crate::api::tls::Certificates;
use crate::app::{App, Hangups, Reload, Renewable, Secrets};
use crate::config::{Config, Given, Origin};
use crate::data_directory::DataDirectory;
use crate::live::feed::Feed;
use crate::tasks::Tasks;
use crate::telemetry;
use crate::time::Clock;

/// How long the work behind the answers may take to end after the journal failed. The disk that failed the one will
/// hardly serve the other, and what is not folded now is folded at the next start.
const FAILED_WORK_PATIENCE: Duration = Duration::from_secs(1);

/// A server that takes calls.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    config: Config,
    port: ServedPort,
    failed: CancellationToken,
    feed: Arc<Feed>,
    renewable: Renewable,
    certificates: Option<Certificates>,
    tasks: Tasks,
    // Held until everything else has ended.
    directory: DataDirectory,
}

/// The journal cannot be written. A sync that failed is never tried again: what is on the disk is found out at the next
/// start.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the journal cannot be written; all that was acknowledged is kept, and is found again at the next start"
)]
pub struct JournalFailed;

/// A port that is served, and how it can be ended.
#[derive(Debug)]
struct ServedPort {
    stop: CancellationToken,
    ended: oneshot::Receiver<Drained>,
}

impl Running {
    /// Starts a server on its directory. Its port answers at once; calls are taken when the ledger is recovered, which is
    /// when this returns.
    pub async fn start(
        config: Config,
        directory: DataDirectory,
        operator_key: SecretString,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let secrets = Secrets { pepper: directory.pepper(config.operator.pepper.as_ref())?, operator_key };
        let certificates = Certificates::load(&config.tls)?;
        let port = Port::bind(config.server.listen).await?.with_certificates(certificates.clone());
        let address = port.address();
        let tasks = Tasks::default();
        if let Some(certificates) = certificates.clone() {
            tasks.spawn(certificates.keep_fresh(tasks.stopping()));
        }
        tasks.spawn(telemetry::keep_up(tasks.stopping()));
        let front = Front::new(if config.server.reflects() { Reflects::Yes } else { Reflects::No });
        let port = ServedPort::begin(port, &front, &config, &tasks);
        tracing::info!(%address, "listening on {address}");

        let app = match App::start(&config, directory.path(), &secrets, clock, &tasks).await {
            Ok(app) => app,
            Err(error) => {
                port.end().await;
                tasks.stop(config.server.drain_patience()).await;
                return Err(error.into());
            }
        };
        front.open(app.services(), app.http()).await;
        tracing::info!(%address, "ready for calls on {address}");
        let (failed, feed, renewable) = (app.ledger.failed(), app.feed(), app.renewable());
        Ok(Self { address, config, port, failed, feed, renewable, certificates, tasks, directory })
    }

    /// Reads secrets and certificates again at each SIGHUP. `given` is what the settings are that it was started with.
    pub fn read_again_at(&self, hangups: Hangups, origin: Origin, given: Given) {
        let (directory, renewable) = (self.directory.path().to_owned(), self.renewable.clone());
        let reload = Reload::new(origin, given, directory, renewable, self.certificates.clone());
        self.tasks.spawn(reload.run(hangups, self.tasks.stopping()));
    }

    /// Where it listens; the port is the real one also where 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, or until the journal fails.
    pub async fn serve_until(
        self,
        stop: impl Future<Output = ()>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let failed = self.failed.clone();
        tokio::select! {
            () = stop => {}
            () = failed.cancelled() => {}
        }
        self.stop().await
    }

    /// Takes no new calls, finishes those that were taken, then the work behind them.
    pub async fn stop(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let patience = self.config.server.drain_patience();
        tracing::info!("ending: calls may take {} s to finish", patience.as_secs());
        self.feed.end();
        if self.port.end().await == Drained::OutOfTime {
            tracing::warn!("some calls were cut: they took too long to finish");
        }
        let work_patience = if self.failed.is_cancelled() { FAILED_WORK_PATIENCE } else { patience };
        if !self.tasks.stop(work_patience).await {
            tracing::warn!("some work was cut; it is taken up again at the next start");
        }
        if self.failed.is_cancelled() { Err(JournalFailed.into()) } else { Ok(()) }
    }
}

impl ServedPort {
    fn begin(port: Port, front: &Front, config: &Config, tasks: &Tasks) -> Self {
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel();
        tasks.spawn({
            let (front, config, stop) = (front.clone(), config.clone(), stop.clone());
            async move {
                // Nobody hears it where the server was dropped.
                end.send(port.serve(front, &config, stop).await).ok();
            }
        });
        Self { stop, ended }
    }

    async fn end(self) -> Drained {
        self.stop.cancel();
        self.ended.await.unwrap_or(Drained::OutOfTime)
    }
}
