//! A connection between a client and the server that loses or holds back what it is told to.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tollgate::tasks::Tasks;

/// What is lost of the next messages that hold a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The request never arrives.
    Request,
    /// It is done, and the answer never arrives.
    Answer,
    /// Nothing: the request waits until it is let go.
    Time,
}

/// A proxy, on a port of its own. It ends with its runtime.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) port: u16,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    word: Mutex<(String, Loss)>,
    left: AtomicU32,
    go: Notify,
}

impl Proxy {
    pub(super) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let plan = Arc::new(Plan {
            word: Mutex::new((String::new(), Loss::Answer)),
            left: AtomicU32::new(0),
            go: Notify::new(),
        });
        let plans = Arc::clone(&plan);
        let tasks = Tasks::default();
        let connections = tasks.clone();
        tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let plan = Arc::clone(&plans);
                connections.spawn(async move {
                    // A connection that broke has ended: that is what it is for.
                    drop(carry(client, server, &plan).await);
                });
            }
        });
        Self { port, plan }
    }

    /// The next `count` requests that hold `word` lose something, and their connections.
    pub(super) fn lose(&self, loss: Loss, word: &str, count: u32) {
        *self.plan.word.lock().expect("nobody panics with it") = (word.to_owned(), loss);
        self.plan.left.store(count, Ordering::SeqCst);
    }

    /// Lets go what was held back.
    pub(super) fn let_go(&self) {
        self.plan.go.notify_one();
    }

    /// How many have not come yet.
    pub(super) fn left(&self) -> u32 {
        self.plan.left.load(Ordering::SeqCst)
    }
}

/// Carries one message after the other: this protocol answers each before the next.
async fn carry(mut client: TcpStream, server: u16, plan: &Plan) -> std::io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
    loop {
        let request = message(&mut client).await?;
        let loss = plan.take(&request);
        if loss == Some(Loss::Request) {
            return Ok(());
        }
        if loss == Some(Loss::Time) {
            plan.go.notified().await;
        }
        server.write_all(&request).await?;
        let answer = message(&mut server).await?;
        if loss == Some(Loss::Answer) {
            return Ok(());
        }
        client.write_all(&answer).await?;
    }
}

async fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let mut message = length.to_vec();
    let rest = u64::from(u32::from_le_bytes(length)).saturating_sub(4);
    stream.take(rest).read_to_end(&mut message).await?;
    if u64::try_from(message.len()).ok() != Some(rest + 4) {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(message)
}

impl Plan {
    fn take(&self, request: &[u8]) -> Option<Loss> {
        let (word, loss) = self.word.lock().expect("nobody panics with it").clone();
        let holds = !word.is_empty() && request.windows(word.len()).any(|part| part == word.as_bytes());
        let one_less = |left: u32| if holds { left.checked_sub(1) } else { None };
        self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).ok().map(|_| loss)
    }
}
