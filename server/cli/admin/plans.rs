//! `tollgate admin plans` and `tollgate admin credits`: the catalogue, who is on which plan, and what tenants may spend.

use tollgate_client::{Client, v1};

use crate::cli::admin::show::{Rows, moment};
use crate::cli::admin::{AdminError, Format};

const PAGE: i32 = 1_000;

/// What to do with plans.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum PlansCommand {
    /// List all plans.
    List,
    /// Move a tenant to the published version of a plan.
    Change {
        /// The tenant's id.
        tenant: String,
        /// The slug or id of the plan.
        plan: String,
    },
}

/// What to do with credits.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum CreditsCommand {
    /// Show what a tenant may spend.
    Get {
        /// The tenant's id.
        tenant: String,
    },
    /// Give credits to a tenant.
    Grant {
        /// The tenant's id.
        tenant: String,
        /// How many micro-credits: 2 credits are 2000000.
        micros: i64,
        /// What for, for people.
        #[arg(long, default_value = "")]
        name: String,
    },
}

/// Does it.
pub(super) async fn run(client: &Client, command: PlansCommand, format: Format) -> Result<(), AdminError> {
    match command {
        PlansCommand::List => list(client, format).await,
        PlansCommand::Change { tenant, plan } => {
            let request_id = uuid::Uuid::now_v7().to_string();
            let request =
                v1::ChangeSubscriptionRequest { tenant_id: tenant, plan, request_id, ..Default::default() };
            let subscription = client.plans().change_subscription(request).await?.into_inner().subscription;
            let mut rows = Rows::new(&["tenant", "plan", "version", "period begins", "period ends"]);
            if let Some(subscription) = subscription {
                let period = [subscription.period_start, subscription.period_end].map(moment);
                let version = subscription.plan_version.to_string();
                rows.push([subscription.tenant_id, subscription.plan, version].into_iter().chain(period));
            }
            Ok(rows.show(format)?)
        }
    }
}

/// Does it.
pub(super) async fn credits(
    client: &Client,
    command: CreditsCommand,
    format: Format,
) -> Result<(), AdminError> {
    let wallet = match command {
        CreditsCommand::Get { tenant } => {
            client.plans().get_wallet(v1::GetWalletRequest { tenant_id: tenant }).await?.into_inner().wallet
        }
        CreditsCommand::Grant { tenant, micros, name } => {
            let request = v1::GrantCreditsRequest {
                tenant_id: tenant,
                credits_micros: micros,
                name,
                request_id: uuid::Uuid::now_v7().to_string(),
                ..Default::default()
            };
            client.plans().grant_credits(request).await?.into_inner().wallet
        }
    };
    let mut rows =
        Rows::new(&["tenant", "balance_micros", "held_micros", "granted_micros", "debited_micros"]);
    if let Some(wallet) = wallet {
        let amounts =
            [wallet.balance_micros, wallet.held_micros, wallet.granted_micros, wallet.debited_micros];
        rows.push([wallet.tenant_id].into_iter().chain(amounts.map(|amount| amount.to_string())));
    }
    Ok(rows.show(format)?)
}

async fn list(client: &Client, format: Format) -> Result<(), AdminError> {
    let mut rows = Rows::new(&["plan", "name", "published", "latest", "created"]);
    let mut request = v1::ListPlansRequest { page_size: PAGE, ..Default::default() };
    loop {
        let page = client.plans().list_plans(request.clone()).await?.into_inner();
        for plan in page.plans {
            let (published, latest) = (plan.published_version.to_string(), plan.latest_version.to_string());
            rows.push([plan.slug, plan.name, published, latest, moment(plan.create_time)]);
        }
        if page.next_page_token.is_empty() {
            return Ok(rows.show(format)?);
        }
        request.page_token = page.next_page_token;
    }
}
