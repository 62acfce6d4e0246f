//! `tollgate admin members`: who belongs to a tenant, and as what.

use tollgate_client::{Client, v1};

use crate::cli::admin::show::{Rows, moment};
use crate::cli::admin::{AdminError, Format};

/// How many members are asked for at once.
const PAGE: i32 = 1_000;

/// What to do with members.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum MembersCommand {
    /// List the members of a tenant, oldest first.
    List {
        /// The tenant's id.
        tenant: String,
    },
    /// Give a member another role.
    Role {
        /// The tenant's id.
        tenant: String,
        /// The member's user id.
        user: String,
        /// The role's name, for example `viewer`.
        role: String,
    },
    /// End a membership.
    Remove {
        /// The tenant's id.
        tenant: String,
        /// The member's user id.
        user: String,
    },
}

/// Does it. Whoever removes a member sees those who stay.
pub(super) async fn run(client: &Client, command: MembersCommand, format: Format) -> Result<(), AdminError> {
    let mut auth = client.auth();
    match command {
        MembersCommand::List { tenant } => list(client, tenant, format).await,
        MembersCommand::Role { tenant, user, role } => {
            let request = v1::ChangeMemberRoleRequest { tenant_id: tenant, user_id: user, role };
            let member = auth.change_member_role(request).await?.into_inner().member;
            Ok(rows(member).show(format)?)
        }
        MembersCommand::Remove { tenant, user } => {
            let request = v1::RemoveMemberRequest { tenant_id: tenant.clone(), user_id: user };
            auth.remove_member(request).await?;
            list(client, tenant, format).await
        }
    }
}

async fn list(client: &Client, tenant_id: String, format: Format) -> Result<(), AdminError> {
    let mut members = Vec::new();
    let mut request = v1::ListMembersRequest { tenant_id, page_size: PAGE, ..Default::default() };
    loop {
        let page = client.auth().list_members(request.clone()).await?.into_inner();
        members.extend(page.members);
        if page.next_page_token.is_empty() {
            return Ok(rows(members).show(format)?);
        }
        request.page_token = page.next_page_token;
    }
}

fn rows(members: impl IntoIterator<Item = v1::Member>) -> Rows {
    let mut rows = Rows::new(&["user", "address", "name", "role", "joined"]);
    for member in members {
        let joined = moment(member.create_time);
        rows.push([member.user_id, member.address, member.name, member.role, joined]);
    }
    rows
}
