//! `tollgate demo`: a server of its own, and the real traffic of a language model service played back to it.
//!
//! What the table shows comes from `WatchUsage`; what the end says was counted by the demo itself from the answers it got,
//! and must be what `QueryUsage` says.

mod cast;
mod live;
mod player;
mod screen;
mod tally;
mod trace;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use tollgate_client::BuildError;
use tollgate_client::v1::{Freshness, QueryUsageRequest};
use tonic::Status;

use crate::cli::child::{self, ChildError, Server};
use crate::cli::demo::cast::Member;
use crate::cli::demo::live::Live;
use crate::cli::demo::player::Player;
use crate::cli::demo::screen::Screen;
use crate::cli::demo::tally::Tally;

/// Where a server listens that was told nothing else.
const PORT_DEFAULT: u16 = 7180;

/// How the demo goes.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Where the server keeps its data. A second demo goes on where the first ended.
    #[arg(long, default_value = "data/demo")]
    pub data: PathBuf,

    /// Where the server listens [default: 127.0.0.1:7180, or a free port where that is taken].
    #[arg(long)]
    pub listen: Option<SocketAddr>,

    /// How many times as fast the traffic is played; it took 58 minutes.
    #[arg(long, default_value = "60")]
    pub speed: NonZeroU32,

    /// End after the summary instead of leaving the server up.
    #[arg(long)]
    pub exit: bool,
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// There is no server.
    #[error(transparent)]
    Server(#[from] ChildError),
    /// There is no way to it.
    #[error(transparent)]
    Client(#[from] BuildError),
    /// A call failed.
    #[error("a call failed: {0}")]
    Call(Box<Status>),
    /// The table cannot be shown.
    #[error("the demo cannot show what it does")]
    Output(#[from] io::Error),
    /// A task of the demo panicked.
    #[error("a caller of the demo died")]
    CallerDied,
    /// The promise is broken.
    #[error("tenant `{tenant}`: the answers add up to {answered:?}, and {source_name} says {said:?}")]
    NotEqual {
        /// Whose usage.
        tenant: &'static str,
        /// What the demo was answered.
        answered: Box<Tally>,
        /// What the ledger has.
        said: Box<Tally>,
        /// Who says so.
        source_name: &'static str,
    },
}

impl DemoError {
    fn call(status: Status) -> Self {
        Self::Call(Box::new(status))
    }
}

/// Plays the demo.
pub async fn run(args: DemoArgs) -> Result<(), DemoError> {
    tokio::select! {
        played = play(&args) => played,
        // Dropping the rest kills the server, which its ledger is made for.
        () = child::told_to_stop() => Ok(()),
    }
}

async fn play(args: &DemoArgs) -> Result<(), DemoError> {
    let listen = args.listen.or_else(free_default);
    let mut server = Server::start(&args.data, listen).await?;
    let mut screen = Screen::new();
    screen.say(&format!(
        "tollgate listens at {}, its data is in {}",
        server.address(),
        args.data.display()
    ))?;

    let members = cast::gather(&server).await?;
    let mut before = Vec::new();
    for member in &members {
        before.push(usage(member).await?);
    }
    let mut live = Live::watch(&members);
    let tallies = Player::new(&members, args.speed).play(&live, &mut screen).await?;

    for ((member, tally), before) in members.iter().zip(&tallies).zip(before) {
        compare(member, tally, usage(member).await?.since(&before), "QueryUsage")?;
    }
    live.settle(&members).await?;
    screen.table(&live.states(), &members)?;
    // A server that ends waits for its streams.
    drop(live);
    screen.summary(&members, &tallies)?;
    if args.exit {
        return Ok(server.stop().await?);
    }
    screen.farewell(server.address(), &members)?;
    Ok(server.ended().await?)
}

/// The usual address, where nobody has it.
fn free_default() -> Option<SocketAddr> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT));
    std::net::TcpListener::bind(address).is_ok().then_some(address)
}

/// All that the ledger has of a tenant.
async fn usage(member: &Member) -> Result<Tally, DemoError> {
    let request = QueryUsageRequest { freshness: Freshness::Fresh.into(), ..QueryUsageRequest::default() };
    let answer = member.client.track().query_usage(request).await.map_err(DemoError::call)?;
    Ok(Tally::of(&answer.into_inner().totals.unwrap_or_default()))
}

fn compare(
    member: &Member,
    answered: &Tally,
    said: Tally,
    source_name: &'static str,
) -> Result<(), DemoError> {
    if answered.equals(&said) {
        return Ok(());
    }
    Err(DemoError::NotEqual {
        tenant: member.role.tenant,
        answered: Box::new(answered.clone()),
        said: Box::new(said),
        source_name,
    })
}
