//! `tollgate admin audit`: who changed what, and whether anybody changed what is written of it.

use std::process::ExitCode;

use tollgate_client::{Client, v1};

use crate::cli::admin::show::{Rows, moment};
use crate::cli::admin::{AdminError, Format};

/// How many entries are asked for at once.
const PAGE: usize = 1_000;

/// What to do with the audit log.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// List entries, newest first.
    List {
        /// The tenant's id [default: the entries of the installation].
        #[arg(default_value = "")]
        tenant: String,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Look whether all entries are as they were written. It fails where one is not.
    Verify {
        /// The tenant's id [default: the entries of the installation].
        #[arg(default_value = "")]
        tenant: String,
    },
}

/// Does it. Success of `verify`: all entries are as they were written.
pub(super) async fn run(
    client: &Client,
    command: AuditCommand,
    format: Format,
) -> Result<ExitCode, AdminError> {
    match command {
        AuditCommand::List { tenant, limit } => {
            list(client, tenant, limit, format).await?;
            Ok(ExitCode::SUCCESS)
        }
        AuditCommand::Verify { tenant } => verify(client, tenant, format).await,
    }
}

async fn list(client: &Client, tenant_id: String, limit: usize, format: Format) -> Result<(), AdminError> {
    let mut entries = Vec::new();
    let page_size = i32::try_from(limit.clamp(1, PAGE)).unwrap_or(i32::MAX);
    let mut request = v1::ListAuditEntriesRequest { tenant_id, page_size, ..Default::default() };
    loop {
        let page = client.admin().list_audit_entries(request.clone()).await?.into_inner();
        entries.extend(page.entries);
        if page.next_page_token.is_empty() || entries.len() >= limit {
            break;
        }
        request.page_token = page.next_page_token;
    }
    entries.truncate(limit);
    let mut rows = Rows::new(&["number", "time", "kind", "actor", "method", "target", "outcome", "reason"]);
    for entry in entries {
        let kind = entry.actor_kind().as_str_name().replace("AUDIT_ACTOR_KIND_", "").to_lowercase();
        let outcome = entry.outcome().as_str_name().replace("AUDIT_OUTCOME_", "").to_lowercase();
        let (number, time) = (entry.number.to_string(), moment(entry.time));
        rows.push([number, time, kind, entry.actor_id, entry.method, entry.target, outcome, entry.reason]);
    }
    Ok(rows.show(format)?)
}

/// One call looks at so many entries and no more: it is asked until the end of the log, or the first that is broken.
async fn verify(client: &Client, tenant_id: String, format: Format) -> Result<ExitCode, AdminError> {
    let mut verified = 0_i64;
    let mut request = v1::VerifyAuditLogRequest { tenant_id, first_number: 0 };
    let found = loop {
        let found = client.admin().verify_audit_log(request.clone()).await?.into_inner();
        verified = verified.saturating_add(found.verified_count);
        if found.broken_number != 0 || found.next_number == 0 {
            break found;
        }
        request.first_number = found.next_number;
    };
    let is_whole = found.broken_number == 0;
    let (state, broken) = match found.broken_number {
        0 => ("whole", String::new()),
        number if found.is_missing => ("missing", number.to_string()),
        number => ("changed", number.to_string()),
    };
    let mut rows = Rows::new(&["verified", "state", "broken"]);
    rows.push([verified.to_string(), state.to_owned(), broken]);
    rows.show(format)?;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
