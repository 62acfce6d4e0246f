//! `tollgate admin tenants`: finding, making, changing and ending tenants.

use std::io::{self, Write as _};

use tollgate_client::{Client, v1};

use crate::cli::admin::show::{Rows, moment};
use crate::cli::admin::{AdminError, Format};

/// How many tenants are asked for at once.
const PAGE: i32 = 1_000;

/// What to do with tenants.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum TenantsCommand {
    /// List tenants, oldest first.
    List {
        /// Only those whose id or name begins so.
        #[arg(long, default_value = "")]
        query: String,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one tenant.
    Get {
        /// The tenant's id.
        tenant: String,
    },
    /// Make a tenant.
    Create {
        /// Its name for people.
        name: String,
        /// Its id [default: the server makes one].
        #[arg(long, default_value = "")]
        id: String,
        /// The slug or id of its plan [default: that of new tenants].
        #[arg(long, default_value = "")]
        plan: String,
        /// The IANA zone of its billing periods [default: UTC].
        #[arg(long, default_value = "")]
        time_zone: String,
    },
    /// Change a tenant's name, or the zone of its billing periods.
    Update {
        /// The tenant's id.
        tenant: String,
        /// Its name for people.
        #[arg(long)]
        name: Option<String>,
        /// The IANA zone of its billing periods.
        #[arg(long)]
        time_zone: Option<String>,
    },
    /// Refuse all calls of a tenant until it is resumed.
    Suspend {
        /// The tenant's id.
        tenant: String,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a suspended tenant's calls be decided again.
    Resume {
        /// The tenant's id.
        tenant: String,
    },
    /// End a tenant. It can be taken back until the grace is over.
    Delete {
        /// The tenant's id.
        tenant: String,
        /// How many days it can be taken back [default: 30].
        #[arg(long)]
        grace_days: Option<i32>,
    },
    /// Take a deletion back.
    Undelete {
        /// The tenant's id.
        tenant: String,
    },
    /// Print all that is held on a tenant, a JSON object a line.
    Export {
        /// The tenant's id.
        tenant: String,
    },
}

/// Does it.
pub(super) async fn run(client: &Client, command: TenantsCommand, format: Format) -> Result<(), AdminError> {
    let mut admin = client.admin();
    let tenant = match command {
        TenantsCommand::List { query, limit } => return list(client, query, limit, format).await,
        TenantsCommand::Export { tenant } => return export(client, tenant).await,
        TenantsCommand::Get { tenant } => {
            admin.get_tenant(v1::GetTenantRequest { tenant_id: tenant }).await?.into_inner().tenant
        }
        TenantsCommand::Create { name, id, plan, time_zone } => {
            let request_id = uuid::Uuid::now_v7().to_string();
            let request = v1::CreateTenantRequest { tenant_id: id, name, plan, time_zone, request_id };
            admin.create_tenant(request).await?.into_inner().tenant
        }
        TenantsCommand::Update { tenant, name, time_zone } => {
            let request = v1::UpdateTenantRequest { tenant_id: tenant, name, time_zone };
            admin.update_tenant(request).await?.into_inner().tenant
        }
        TenantsCommand::Suspend { tenant, reason } => {
            let request = v1::SuspendTenantRequest { tenant_id: tenant, reason };
            admin.suspend_tenant(request).await?.into_inner().tenant
        }
        TenantsCommand::Resume { tenant } => {
            admin.resume_tenant(v1::ResumeTenantRequest { tenant_id: tenant }).await?.into_inner().tenant
        }
        TenantsCommand::Delete { tenant, grace_days } => {
            let request = v1::DeleteTenantRequest { tenant_id: tenant, grace_days };
            admin.delete_tenant(request).await?.into_inner().tenant
        }
        TenantsCommand::Undelete { tenant } => {
            admin.undelete_tenant(v1::UndeleteTenantRequest { tenant_id: tenant }).await?.into_inner().tenant
        }
    };
    Ok(rows(tenant).show(format)?)
}

async fn list(client: &Client, query: String, limit: usize, format: Format) -> Result<(), AdminError> {
    let mut tenants = Vec::new();
    let mut request = v1::ListTenantsRequest { page_size: PAGE, query, ..Default::default() };
    loop {
        let page = client.admin().list_tenants(request.clone()).await?.into_inner();
        tenants.extend(page.tenants);
        if page.next_page_token.is_empty() || tenants.len() >= limit {
            break;
        }
        request.page_token = page.next_page_token;
    }
    tenants.truncate(limit);
    Ok(rows(tenants).show(format)?)
}

async fn export(client: &Client, tenant_id: String) -> Result<(), AdminError> {
    let request = v1::ExportTenantRequest { tenant_id };
    let mut lines = client.admin().export_tenant(request).await?.into_inner();
    while let Some(line) = lines.message().await? {
        writeln!(io::stdout(), "{}", line.line)?;
    }
    Ok(())
}

fn rows(tenants: impl IntoIterator<Item = v1::Tenant>) -> Rows {
    let mut rows = Rows::new(&["tenant", "name", "state", "plan", "zone", "created", "ends"]);
    for tenant in tenants {
        let state = tenant.state().as_str_name().replace("TENANT_STATE_", "").to_lowercase();
        let (created, ends) = (moment(tenant.create_time), moment(tenant.end_time));
        rows.push([tenant.id, tenant.name, state, tenant.plan, tenant.time_zone, created, ends]);
    }
    rows
}
