//! What the demo shows: a table that is refreshed in place on a terminal, and lines elsewhere.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use tollgate_client::v1::{UsageState, WalletState};

use crate::cli::demo::cast::Member;
use crate::cli::demo::tally::Tally;

const FRAME_TERMINAL: Duration = Duration::from_millis(250);
const FRAME_LINES: Duration = Duration::from_secs(5);

const EVENT: &str =
    r#"{"event": {"service": "llm", "endpoint": "/v1/chat", "tokens": {"input": 374, "output": 44}}}"#;
const BY_MODEL: &str = r#"{"group_by": {"dimension": "DIMENSION_MODEL"}}"#;

/// The standard output.
#[derive(Debug)]
pub(super) struct Screen {
    out: Stdout,
    terminal: bool,
    progress: String,
    /// How many lines of the table stand above the cursor.
    lines: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        Self { out, terminal, progress: String::new(), lines: 0 }
    }

    /// How often it is worth showing something new.
    pub(super) const fn frame(&self) -> Duration {
        if self.terminal { FRAME_TERMINAL } else { FRAME_LINES }
    }

    pub(super) fn say(&self, what: &str) -> io::Result<()> {
        writeln!(self.out.lock(), "{what}")
    }

    pub(super) fn progress(&mut self, played: usize, total: usize, elapsed: Duration) {
        self.progress = format!("{} s: {played} of {total} requests", elapsed.as_secs());
    }

    /// The live view of all tenants; on a terminal over the one before.
    pub(super) fn table(&mut self, states: &[UsageState], members: &[Member]) -> io::Result<()> {
        let text = format!("{}\n{}\n", self.progress, table(states, members));
        let mut out = self.out.lock();
        if self.terminal {
            if self.lines > 0 {
                write!(out, "\x1b[{}A\x1b[0J", self.lines)?;
            }
            self.lines = text.lines().count();
        }
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// What the answers added up to, which is what the ledger says.
    pub(super) fn summary(&self, members: &[Member], tallies: &[Tally]) -> io::Result<()> {
        let mut sum = Tally::default();
        let mut out = self.out.lock();
        writeln!(out)?;
        for (member, tally) in members.iter().zip(tallies) {
            sum.merge(tally);
            let reasons: Vec<_> = tally.reasons.iter().map(|(why, times)| format!("{times} {why}")).collect();
            let reasons =
                if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
            writeln!(
                out,
                "{:<8} {} calls, {} tokens read, {} written, {} credits, {} refused{reasons}",
                member.role.tenant,
                tally.calls,
                tally.input_tokens,
                tally.output_tokens,
                credits(tally.credits_micros),
                tally.refused,
            )?;
        }
        writeln!(
            out,
            "\nThe answers, QueryUsage and WatchUsage agree to the last token: {} calls, {} tokens read, {} written, \
             {} credits, {} refused.",
            sum.calls,
            sum.input_tokens,
            sum.output_tokens,
            credits(sum.credits_micros),
            sum.refused,
        )
    }

    /// What to try next, ready to be copied.
    pub(super) fn farewell(&self, address: SocketAddr, members: &[Member]) -> io::Result<()> {
        let mut out = self.out.lock();
        for (place, member) in members.iter().enumerate() {
            let call = format!("grpcurl -plaintext -H 'x-api-key: {}'", member.secret);
            let service = format!("{address} tollgate.v1.TrackService");
            writeln!(out, "\n# tenant `{}` on plan `{}`", member.role.tenant, member.role.plan)?;
            writeln!(out, "{call} -d '{EVENT}' {service}/Track")?;
            // The other methods are the same for all.
            if place == 0 {
                writeln!(out, "{call} {service}/GetLimits")?;
                writeln!(out, "{call} -d '{BY_MODEL}' {service}/QueryUsage")?;
                writeln!(out, "{call} {service}/WatchUsage")?;
            }
        }
        writeln!(out, "\nThe server stays up until Ctrl-C.")
    }
}

fn table(states: &[UsageState], members: &[Member]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "tenant", "plan", "calls", "refused", "read", "written", "spent", "left", "held", "quota",
    ]);
    for (member, state) in members.iter().zip(states) {
        let totals = state.totals.clone().unwrap_or_default();
        let tokens = totals.tokens.unwrap_or_default();
        let WalletState { balance_micros, held_micros, .. } = state.wallet.unwrap_or_default();
        let quota = state.quotas.first();
        table.add_row([
            member.role.tenant.to_owned(),
            member.role.plan.to_owned(),
            totals.calls.to_string(),
            totals.refused.to_string(),
            tokens.input.to_string(),
            tokens.output.to_string(),
            credits(totals.credits_micros),
            credits(balance_micros),
            credits(held_micros),
            quota.and_then(|quota| quota.remaining).map(|left| left.to_string()).unwrap_or_default(),
        ]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Micro-credits as credits, cut to thousandths.
fn credits(micros: i64) -> String {
    format!("{}.{:03}", micros / 1_000_000, micros.unsigned_abs() % 1_000_000 / 1_000)
}
